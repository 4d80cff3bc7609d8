"""What of the window can become a figure: the timeline, and every chart that shows something."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from loaderscope.analysis.late_batches import find_waits
from loaderscope.facts.run import Run
from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.charts.chart_figure import CHART_SIZE, chart_figure
from loaderscope.gui.style.figures import Figure, caption_of
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure
from loaderscope.gui.timeline.widget.timeline_pair import TimelinePair
from loaderscope.gui.window.figure_export import FIRST, SIGHT, FigureExport, Options, Subject, focused_chart
from loaderscope.gui.window.views import Views


def timeline_subject(pair: TimelinePair, run: Run | None, title: str) -> Subject | None:
    """What the timeline shows now, with the trial below it; None where it shows nothing.

    Args:
        pair: the timelines.
        run: what the caption tells.
        title: stands above a trial that is shown alone.
    """
    scene, other = pair.first.scene, pair.second.scene
    if scene is None or scene.is_empty:
        return None
    trace, origin_ns, sight_ns = scene.trace, scene.origin_ns, pair.first.visible_range_ns()
    title = scene.title or title
    below = (other.trace, other.title) if other is not None else None
    settings = " and ".join((title, other.title)) if other is not None else title
    arrangement = pair.first.arrangement
    traces = [trace, *([other.trace] if other is not None else [])]
    arrows = [copy.copy(timeline.arrows) for timeline in (pair.first, pair.second)]
    marks = [timeline.marking.marks for timeline in (pair.first, pair.second)]

    def make(options: Options) -> Figure:
        for shown, its in zip(arrows, traces, strict=False):
            if shown.shown and not shown.are_known:  # the window has not looked for them yet, and a figure is the same at any time
                shown.set_waits(find_waits(its))
        first_ns = origin_ns, origin_ns + round(options.seconds * 1e9)
        return timeline_figure(
            trace,
            title=title,
            caption=caption_of(run, settings),
            width=options.width,
            range_ns=sight_ns if options.time == SIGHT else first_ns if options.time == FIRST else None,
            arrangement=arrangement,
            below=below,
            arrows=arrows,
            marks=marks,
        )

    return Subject("Timeline", make, is_timeline=True)


def chart_subjects(charts: Iterable[Chart[Any]], run: Run | None, trial: str) -> list[Subject]:
    """What the charts show now, without those that are empty.

    Args:
        charts: of the window.
        run: what the captions tell.
        trial: the shown trial, for charts of one trial.
    """
    return [chart_subject(chart, run, trial) for chart in charts if not chart.is_empty]


def chart_subject(chart: Chart[Any], run: Run | None, trial: str) -> Subject:
    """What a chart shows now."""
    paint, data, name = chart.painted_by, chart.data, chart.accessibleName()
    settings = trial if run is None or run.request.batches is None else f"{trial} · {run.request.batches} batches a trial"
    size = CHART_SIZE[0], max(CHART_SIZE[1], chart.minimumHeight())  # as high as its rows need
    return Subject(name, lambda _options: chart_figure(paint, data, title=name, caption=caption_of(run, settings), size=size))


class WindowFigures:
    """Finds what can become a figure now, and hands it to the export."""

    def __init__(self, exporting: FigureExport, views: Views, shown_run: Callable[[], Run | None]) -> None:
        self._exporting, self._views, self._shown_run = exporting, views, shown_run

    def export(self) -> None:
        """Asks for a figure of the timeline or of a chart, and makes it; the chart with the keyboard is proposed."""
        run, trial = self._shown_run(), self._views.trials.currentText()
        timeline = timeline_subject(self._views.pair, run, trial)
        charts = chart_subjects(self._views.trials.window().findChildren(Chart), run, trial)
        subjects = [*([timeline] if timeline is not None else []), *charts]
        focused = focused_chart()
        names = [subject.name for subject in subjects]
        proposed = focused.accessibleName() if focused is not None else ""
        self._exporting.export(subjects, names.index(proposed) if proposed in names else 0)

    def copy(self) -> None:
        """Puts the chart with the keyboard, or what the timeline shows, on the clipboard as a picture."""
        run, trial, focused = self._shown_run(), self._views.trials.currentText(), focused_chart()
        subject = timeline_subject(self._views.pair, run, trial) if focused is None else chart_subject(focused, run, trial)
        if subject is not None:
            self._exporting.copy(subject)
