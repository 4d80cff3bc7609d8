"""Figures of what a window shows: the timeline, or the chart with the keyboard."""

from __future__ import annotations

from collections.abc import Callable

from loaderscope.facts.run import Run
from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.figure_export import FigureExport, focused_chart
from loaderscope.gui.subjects import chart_subject, chart_subjects, timeline_subject
from loaderscope.gui.views import Views


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
