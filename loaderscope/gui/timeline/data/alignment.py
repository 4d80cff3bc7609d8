"""Several trials on one time axis, aligned at the moment at which each had its first batch. No Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.data.scene import Scene


@dataclasses.dataclass(frozen=True)
class Part:
    """A timeline as one of several on one axis: low lanes alone, and no minimap.

    Attributes:
        title: stands above it.
        zero: what the axis counts from, nanoseconds since the trace's origin.
        bounds: begin and end of what all of them show, since this trace's origin.
        has_axis: whether the axis is drawn above this one.
    """

    title: str
    zero: float
    bounds: tuple[float, float]
    has_axis: bool


PART_KINDS = frozenset(("lane", "flight"))
"""Kinds of rows that a part shows."""


def named(scene: Scene) -> str:
    """What begins a text about the first of several trials; empty for one that is shown alone."""
    return f"{scene.title.partition(' · ')[0].capitalize()} (above). " if scene.axis_zero is not None else ""


def first_batch(scene: Scene) -> float | None:
    """When the main process had its first batch in hand, nanoseconds since the origin; None where it never had one."""
    for index in scene.tracks("main"):
        rows = index.rows_of(State.WAIT)
        if len(rows):
            return float(index.end_ns[rows[0]] - scene.origin_ns)
    return None


def parts_of(scenes: Sequence[Scene], titles: Sequence[str]) -> list[Part] | None:
    """Scenes aligned at their first batches, the axis above the first of them; None where one of them has no batch."""
    zeros = [zero for zero in map(first_batch, scenes) if zero is not None]
    if len(zeros) < len(scenes):
        return None
    begin = -max(zeros)
    end = max(scene.total_ns - zero for scene, zero in zip(scenes, zeros, strict=True))
    return [
        Part(title, zero, (begin + zero, end + zero), number == 0) for number, (title, zero) in enumerate(zip(titles, zeros, strict=True))
    ]
