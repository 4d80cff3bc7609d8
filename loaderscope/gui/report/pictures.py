"""Which timelines a report shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.results import TrialResult
from loaderscope.gui.figures import Figure
from loaderscope.gui.timeline.figure import timeline_figure
from loaderscope.gui.words import pair_title
from loaderscope.session.file import SessionFile
from loaderscope.trace.model import Trace


@dataclasses.dataclass(frozen=True)
class Timeline:
    """One timeline, or two that are aligned, for any width."""

    caption: str
    figure: Callable[[int], Figure]


def timelines_of(
    session: SessionFile, results: Sequence[TrialResult], current: TrialConfig | None, shown: TrialResult | None, trace: Trace | None
) -> list[Timeline]:
    """No workers and the user's own setting, each above the shown trial, and the shown trial with everything that was sampled.

    Args:
        session: where the traces are.
        results: of all trials.
        current: what the user trains with today.
        shown: the trial that stands for the run.
        trace: its own.

    Raises:
        SessionError: a trace is damaged.
    """
    if shown is None or trace is None or trace.origin_ns is None:
        return []
    timelines = []
    plain = _first_good(results, lambda config: config.num_workers == 0)
    today = _first_good(results, lambda config: config == current)
    for above in {result.id: result for result in (plain, today) if result is not None and result.config != shown.config}.values():
        pair = _pair(session.trace(above.id), above, trace, shown)
        if pair is not None:
            timelines.append(pair)
    caption = f"Trial {shown.id} from its start to its end"
    timelines.append(Timeline(caption, lambda width: timeline_figure(trace, title=pair_title(shown), width=width)))
    return timelines


def _first_good(results: Sequence[TrialResult], fits: Callable[[TrialConfig], bool]) -> TrialResult | None:
    return next((result for result in results if result.status == "ok" and fits(result.config)), None)


def _pair(above: Trace, first: TrialResult, below: Trace, second: TrialResult) -> Timeline | None:
    if above.origin_ns is None or not first.batches or not second.batches:
        return None
    titles = pair_title(first), pair_title(second)

    def figure(width: int) -> Figure:
        return timeline_figure(above, title=titles[0], below=(below, titles[1]), width=width)

    return Timeline(f"Trials {first.id} and {second.id} on one axis, aligned at their first batch", figure)
