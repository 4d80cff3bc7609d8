"""The parts of the window that can become figures: the timeline, and every chart that is not empty."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

from loaderscope.facts.run import Run
from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.panels.late_batch_search import waits_of_loaders
from loaderscope.gui.style.figures import Figure, caption_of
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure
from loaderscope.gui.timeline.widget.timeline_pair import TimelinePair
from loaderscope.gui.window.figure_export import FIRST, SIGHT, FigureExport, Options, Subject, focused_chart
from loaderscope.gui.window.views import Views


def timeline_subject(pair: TimelinePair, run: Run | None, title: str) -> Subject | None:
    """Returns the timeline as it is now, with the compared trial below; None if it is empty.

    Args:
        pair: the timelines.
        run: described in the caption.
        title: of a trial that is shown alone.
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
    arrows_of_trials = [copy.copy(timeline.arrows) for timeline in (pair.first, pair.second)]
    marks = [timeline.marking.marks for timeline in (pair.first, pair.second)]
    places = pair.first.places

    def make(options: Options) -> Figure:
        for arrows, its_trace in zip(arrows_of_trials, traces, strict=False):
            if arrows.shown and not arrows.are_known:  # the window still searches for them, but a figure must not depend on when it is made
                arrows.set_waits(waits_of_loaders(its_trace))
        first_ns = origin_ns, origin_ns + round(options.seconds * 1e9)
        return timeline_figure(
            trace,
            title=title,
            caption=caption_of(run, settings),
            width=options.width,
            range_ns=sight_ns if options.time == SIGHT else first_ns if options.time == FIRST else None,
            arrangement=arrangement,
            below=below,
            arrows=arrows_of_trials,
            marks=marks,
            places=places,
        )

    return Subject("Timeline", make, is_timeline=True)


def chart_subjects(charts: Iterable[Chart], run: Run | None, trial: str) -> list[Subject]:
    """Returns the charts that are not empty, as they are now.

    Args:
        charts: all charts of the window.
        run: described in the captions.
        trial: the shown trial, in words.
    """
    return [chart_subject(chart, run, trial) for chart in charts if not chart.is_empty]


def chart_subject(chart: Chart, run: Run | None, trial: str) -> Subject:
    """Returns a chart as it is now."""
    settings = (
        trial if run is None or run.is_training or run.request.batches is None else f"{trial} · {run.request.batches} batches a trial"
    )
    figure = chart.figure(caption_of(run, settings))
    return Subject(chart.accessibleName(), lambda _options: figure)


class WindowFigures:
    """Finds the parts of the window that can become a figure now, and passes them to the export."""

    def __init__(self, figure_export: FigureExport, views: Views, shown_run: Callable[[], Run | None]) -> None:
        self._figure_export, self._views, self._shown_run = figure_export, views, shown_run

    def export(self) -> None:
        """Asks for the timeline or a chart, and exports it; proposes the chart that has the keyboard."""
        run, trial = self._shown_run(), self._views.trials.currentText()
        timeline = timeline_subject(self._views.pair, run, trial)
        charts = chart_subjects(self._views.trials.window().findChildren(Chart), run, trial)
        subjects = [*([timeline] if timeline is not None else []), *charts]
        focused = focused_chart()
        names = [subject.name for subject in subjects]
        proposed = focused.accessibleName() if focused is not None else ""
        self._figure_export.export(subjects, names.index(proposed) if proposed in names else 0)

    def copy(self) -> None:
        """Puts the chart that has the keyboard, else the timeline, on the clipboard as a picture."""
        run, trial, focused = self._shown_run(), self._views.trials.currentText(), focused_chart()
        subject = timeline_subject(self._views.pair, run, trial) if focused is None else chart_subject(focused, run, trial)
        if subject is not None:
            self._figure_export.copy(subject)
