"""Which timelines a report shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.late_batches import find_waits, late_batch
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Mark
from loaderscope.facts.text import duration_text
from loaderscope.gui.panels.late_batches_panel import reason_text
from loaderscope.gui.report.blocks import Picture
from loaderscope.gui.style.figures import Figure
from loaderscope.gui.style.words import pair_title
from loaderscope.gui.timeline.paint.arrows import LateArrows
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure, timeline_parts
from loaderscope.session.file import SessionFile
from loaderscope.trace.model import Trace

TOLD_SHARE = 0.01
"""Part of a trial that its longest late wait takes at least to be told; arrows to shorter ones may be too close to be drawn."""


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What is drawn of a trial.

    Attributes:
        arrows: to its late waits.
        longest: the longest of them in words; empty where none is worth it.
    """

    trace: Trace
    title: str
    begin_ns: int
    marks: tuple[Mark, ...]
    arrows: LateArrows
    longest: str


def timeline_of(session: SessionFile, result: TrialResult, trace: Trace) -> Timeline:
    """The timeline of a trial with what the user marked and with the arrows to late waits.

    Raises:
        SessionError: the session is damaged.
    """
    waits, arrows = find_waits(trace), LateArrows()
    arrows.set_waits(waits)
    begin_ns, longest = trace.origin_ns or 0, ""
    worth = arrows.in_sight(begin_ns, trace.end_ns, TOLD_SHARE * (trace.end_ns - begin_ns))
    if worth:
        late = late_batch(trace, waits, int(waits.end_ns.searchsorted(worth[0].to_ns)))
        longest = f"{duration_text(late.wait_s)} for batch {late.batch}, as {reason_text(late)}"
    return Timeline(trace, pair_title(result), begin_ns, tuple(session.marks(result.id)), arrows, longest)


def draw(timelines: Sequence[Timeline], *, width: int, caption: str = "") -> Figure:
    """One timeline, or two aligned at their first batch.

    Raises:
        FigureError: one of two never had a batch.
    """
    first, second = timelines[0], timelines[1] if len(timelines) > 1 else None
    return timeline_figure(
        first.trace,
        title=first.title,
        caption=caption,
        width=width,
        below=(second.trace, second.title) if second is not None else None,
        arrows=[one.arrows for one in timelines],
        marks=[one.marks for one in timelines],
    )


def draw_parts(timelines: Sequence[Timeline], width: int, tallest: float) -> list[Figure]:
    """The same in parts that are no taller than a height, cut between rows.

    Raises:
        FigureError: one of two never had a batch.
    """
    return timeline_parts(
        [(one.trace, one.title) for one in timelines],
        width=width,
        tallest=tallest,
        arrows=[one.arrows for one in timelines],
        marks=[one.marks for one in timelines],
    )


def timeline_pictures(
    session: SessionFile, results: Sequence[TrialResult], current: TrialConfig | None, shown: TrialResult | None, trace: Trace | None
) -> tuple[Picture, ...]:
    """No workers and the user's own setting, each above the shown trial, and the shown trial with everything that was sampled.

    Args:
        session: where the traces and the marks are.
        results: of all trials.
        current: what the user trains with today.
        shown: the trial that stands for the run.
        trace: its own.

    Raises:
        SessionError: a trace is damaged.
    """
    if shown is None or trace is None or trace.origin_ns is None:
        return ()
    own = timeline_of(session, shown, trace)
    plain = _first_good(results, lambda config: config.num_workers == 0)
    today = _first_good(results, lambda config: config == current)
    pictures = []
    for result in {result.id: result for result in (plain, today) if result is not None and result.config != shown.config}.values():
        above = session.trace(result.id)
        if above.origin_ns is not None and result.batches and shown.batches:
            caption = f"Trials {result.id} and {shown.id} on one axis, aligned at their first batch"
            pictures.append(_picture(caption, (timeline_of(session, result, above), own)))
    return (*pictures, _picture(f"Trial {shown.id} from its start to its end", (own,)))


def _first_good(results: Sequence[TrialResult], fits: Callable[[TrialConfig], bool]) -> TrialResult | None:
    return next((result for result in results if result.status == "ok" and fits(result.config)), None)


def _picture(caption: str, timelines: tuple[Timeline, ...]) -> Picture:
    told = f"{' above '.join(one.title for one in timelines)}."
    longest = timelines[-1].longest
    if longest:
        caption += ". Arrows lead from what kept a batch to the wait for it" + (f", the longest {longest}" if len(timelines) == 1 else "")
    marks = [f"{mark.text} ({duration_text((mark.time_ns - one.begin_ns) / 1e9)})" for one in timelines for mark in one.marks if mark.text]
    if marks and len(timelines) == 1:
        caption += f". Marked: {', '.join(marks)}"
    return Picture(caption, lambda width: draw(timelines, width=width), told, parts=lambda width, tall: draw_parts(timelines, width, tall))
