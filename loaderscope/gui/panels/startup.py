"""The start-up chart with the choice between all settings and the processes of one trial."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QPalette, QResizeEvent
from PySide6.QtWidgets import QComboBox, QWidget

from loaderscope.analysis.results import TrialResult
from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.charts.startup import StartupData, paint_startup, startup_data, startup_data_of_trial

SETTINGS, PROCESSES = range(2)


class StartupPanel(QWidget):
    """Follows the trial that is shown where its processes are chosen. `trialChosen` when a bar of a setting is clicked."""

    trialChosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._results: tuple[TrialResult, ...] = ()
        self._shown: int | None = None
        self.chart: Chart[StartupData] = Chart(paint_startup, StartupData(), "Start-up phases", self)
        self.chart.trialChosen.connect(self.trialChosen)
        self.setMinimumSize(self.chart.minimumSize())
        self.setBackgroundRole(QPalette.ColorRole.Base)
        self.setAutoFillBackground(True)
        self.view = QComboBox(self)
        self.view.addItems(["first worker of every setting", "processes of this trial"])
        self.view.setAccessibleName("What the start-up chart shows")
        self.view.setToolTip(
            "A bar for each setting, the first worker standing for all,\nor a bar for each process of the trial whose timeline is shown"
        )
        self.view.setFixedHeight(24)
        self.view.hide()  # until there is something to choose from
        self.view.currentIndexChanged.connect(self._update)
        self.setFocusProxy(self.view)

    @property
    def data(self) -> StartupData:
        """What the chart shows."""
        return self.chart.data

    def show_results(self, results: Sequence[TrialResult], shown: int | None) -> None:
        """Takes the trials of a run and the one whose timeline is shown."""
        self._results = tuple(results)
        self._shown = shown
        self.view.setVisible(any(result.startup is not None for result in results))
        self._place()
        self._update()

    def show_trial(self, shown: int | None) -> None:
        """Another trial is shown."""
        self._shown = shown
        self._update()

    def _update(self) -> None:
        if self.view.currentIndex() == SETTINGS:
            self.chart.set_data(startup_data(self._results))
            return
        result = next((result for result in self._results if result.id == self._shown), None)
        self.chart.set_data(startup_data_of_trial(result) if result is not None else StartupData())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()

    def _place(self) -> None:
        """The choice stands at the right above the chart, which has the whole panel where there is none."""
        top = 0
        if not self.view.isHidden():
            width = min(self.view.sizeHint().width(), self.width())
            self.view.move(self.width() - width - 6, 4)
            self.view.resize(width, self.view.height())
            top = self.view.height() + 2
        self.chart.setGeometry(0, top, self.width(), max(0, self.height() - top))
