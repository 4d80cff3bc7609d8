"""Several trials on one time axis, aligned at their first batches. No Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.data.scene import Scene


@dataclasses.dataclass(frozen=True)
class Part:
    """How a timeline looks as one of several on one axis: without minimap and plots, with low lanes.

    Attributes:
        title: the text above it.
        zero_ns: the zero of the axis, nanoseconds since the trace's origin.
        bounds_ns: begin and end of the range that all timelines cover together, since this trace's origin.
        has_axis: whether this timeline has the axis above it.
    """

    title: str
    zero_ns: float
    bounds_ns: tuple[float, float]
    has_axis: bool


PART_KINDS = frozenset(("lane", "flight"))
"""The kinds of rows that a part shows."""


def trial_prefix(scene: Scene) -> str:
    """Returns the first words of a text about the upper one of several trials; "" if the trial is shown alone."""
    return f"{scene.title.partition(' · ')[0].capitalize()} (above). " if scene.axis_zero is not None else ""


def first_batch_ns(scene: Scene) -> float | None:
    """Returns when main received its first batch, nanoseconds since the origin; None if it never did."""
    for index in scene.tracks("main"):
        first = index.first_of(State.WAIT)
        if len(first.end_ns):
            return float(first.end_ns[0] - scene.origin_ns)
    return None


def align_parts(scenes: Sequence[Scene], titles: Sequence[str]) -> list[Part] | None:
    """Aligns scenes at their first batches, with the axis above the first scene. Returns None if a scene has no batch."""
    zeros = [zero for zero in map(first_batch_ns, scenes) if zero is not None]
    if len(zeros) < len(scenes):
        return None
    begin = -max(zeros)
    end = max(scene.total_ns - zero for scene, zero in zip(scenes, zeros, strict=True))
    return [
        Part(title, zero, (begin + zero, end + zero), number == 0) for number, (title, zero) in enumerate(zip(titles, zeros, strict=True))
    ]
