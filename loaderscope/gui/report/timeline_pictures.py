"""The timelines that a report shows, as pictures."""

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
from loaderscope.gui.style.words import trial_title
from loaderscope.gui.timeline.paint.arrows import LateArrows
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure, timeline_parts
from loaderscope.session.file import SessionFile
from loaderscope.trace.model import Trace

MIN_WAIT_SHARE = 0.01
"""A caption mentions the longest late wait from this share of the trial on; arrows to shorter ones may be too close to be drawn."""


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The timeline of one trial.

    Attributes:
        arrows: lead to its late waits.
        longest_wait: the longest late wait in words; empty if all are short.
    """

    trace: Trace
    title: str
    begin_ns: int
    marks: tuple[Mark, ...]
    arrows: LateArrows
    longest_wait: str


def make_timeline(session: SessionFile, result: TrialResult, trace: Trace) -> Timeline:
    """Returns the timeline of a trial, with the user's marks and arrows to late waits.

    Raises:
        SessionError: the session is damaged.
    """
    waits, arrows = find_waits(trace), LateArrows()
    arrows.set_waits(waits)
    begin_ns, longest_wait = trace.origin_ns or 0, ""
    long_waits = arrows.in_sight(begin_ns, trace.end_ns, MIN_WAIT_SHARE * (trace.end_ns - begin_ns))
    if long_waits:
        late = late_batch(trace, waits, int(waits.end_ns.searchsorted(long_waits[0].to_ns)))
        longest_wait = f"{duration_text(late.wait_s)} for batch {late.batch}, as {reason_text(late)}"
    return Timeline(trace, trial_title(result), begin_ns, tuple(session.marks(result.id)), arrows, longest_wait)


def timelines_figure(timelines: Sequence[Timeline], *, width: int, caption: str = "") -> Figure:
    """Returns a figure of one timeline, or of two aligned at their first batch.

    Raises:
        FigureError: one of two never had a batch.
    """
    above, below = timelines[0], timelines[1] if len(timelines) > 1 else None
    return timeline_figure(
        above.trace,
        title=above.title,
        caption=caption,
        width=width,
        below=(below.trace, below.title) if below is not None else None,
        arrows=[one.arrows for one in timelines],
        marks=[one.marks for one in timelines],
    )


def timelines_figure_parts(timelines: Sequence[Timeline], width: int, tallest: float) -> list[Figure]:
    """Returns the same as figures no taller than `tallest` logical pixels, cut between rows.

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
    """Returns no workers and the user's own setting, each above the shown trial, then the shown trial with all sampled series.

    Of a recorded training it returns the shown loader alone.

    Args:
        session: holds the traces and the marks.
        results: of all trials.
        current: the setting that the user trains with today.
        shown: the trial that represents the run.
        trace: the trace of the shown trial.

    Raises:
        SessionError: a trace is damaged.
    """
    if shown is None or trace is None or trace.origin_ns is None:
        return ()
    own = make_timeline(session, shown, trace)
    compared = results if shown.loader is None else ()
    without_workers = _first_good(compared, lambda config: config.num_workers == 0)
    current_result = _first_good(compared, lambda config: config == current)
    name = f"Trial {shown.id}" if shown.loader is None else f"The loader made at {shown.loader.name}"
    pictures = []
    for result in {
        result.id: result for result in (without_workers, current_result) if result is not None and result.config != shown.config
    }.values():
        other = session.trace(result.id)
        if other.origin_ns is not None and result.batches and shown.batches:
            caption = f"Trials {result.id} and {shown.id} on one axis, aligned at their first batch"
            pictures.append(_picture(caption, (make_timeline(session, result, other), own)))
    return (*pictures, _picture(f"{name} from its start to its end", (own,)))


def _first_good(results: Sequence[TrialResult], is_match: Callable[[TrialConfig], bool]) -> TrialResult | None:
    good = (result for result in results if result.status == "ok" and result.replaced_by is None and result.purpose.is_of_setting)
    return next((result for result in good if is_match(result.config)), None)


def _picture(caption: str, timelines: tuple[Timeline, ...]) -> Picture:
    alt_text = f"{' above '.join(one.title for one in timelines)}."
    longest_wait = timelines[-1].longest_wait
    if longest_wait:
        caption += ". Arrows lead from what kept a batch to the wait for it" + (
            f", the longest {longest_wait}" if len(timelines) == 1 else ""
        )
    marks = [f"{mark.text} ({duration_text((mark.time_ns - one.begin_ns) / 1e9)})" for one in timelines for mark in one.marks if mark.text]
    if marks and len(timelines) == 1:
        caption += f". Marked: {', '.join(marks)}"
    return Picture(
        caption,
        lambda width: timelines_figure(timelines, width=width),
        alt_text,
        make_parts=lambda width, tallest: timelines_figure_parts(timelines, width, tallest),
    )
