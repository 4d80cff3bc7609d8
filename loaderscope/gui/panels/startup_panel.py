"""Everything about the time before the first batch: its phases, what workers are sent and import, and the start-up experiment."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QPalette, QResizeEvent
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QScrollArea, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from loaderscope.analysis.startup.experiment import StartupExperiment
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run
from loaderscope.facts.startup_results import SentPart
from loaderscope.gui.charts.chart import Chart, PlotChart
from loaderscope.gui.charts.experiment_chart import KINDS, ExperimentData, height_px
from loaderscope.gui.charts.startup_chart import STARTUP, StartupData, least_height_px, startup_data, startup_data_of_trial
from loaderscope.gui.charts.treemap import TreeMap, sent_data
from loaderscope.gui.panels.combo_box import Choice
from loaderscope.gui.panels.labels import FEW_LINES, MANY_LINES, ElidedParagraph
from loaderscope.gui.panels.startup_tables import ImportTree, LinesTable, SentTable
from loaderscope.gui.panels.sweep_panel import EXPERIMENT_BUTTON, EXPERIMENT_TIP
from loaderscope.gui.run import startup_sentences
from loaderscope.gui.run.training_trace import ALL_LOADERS

PHASES, SENT, IMPORTS, EXPERIMENT = "Phases", "Sent", "Imports", "Experiment"
SETTINGS, PROCESSES = "every setting", "this trial"
MAP, TABLE = "map", "table"
MODULES, LINES = "modules", "script lines"

PARTS: dict[str, tuple[str, ...]] = {
    PHASES: (SETTINGS, PROCESSES),
    SENT: (MAP, TABLE),
    IMPORTS: (MODULES, LINES),
    EXPERIMENT: tuple(KINDS),
}
"""The views, and the parts that each can show."""

WORDS_OF_TRAINING = {SETTINGS: "every loader", PROCESSES: "this loader"}
"""What these parts are called where the trials are the loaders of a training."""

TIPS = {
    PHASES: "Where the time from iter(loader) to the first batch goes",
    SENT: "What each worker is sent when it starts, attribute by attribute",
    IMPORTS: "What a worker imports to run the script again and to unpickle what it is sent, and the lines of the script's own top level",
    EXPERIMENT: "What workers and epochs cost under each start method, and what would make them cheaper",
}

MANY_LINES_FROM_PX = 330
"""From this height of the panel on its sentence may take many lines."""

LEAST_CHART_HEIGHT_PX = 110

EMPTY = {
    PHASES: "Where the time from iter(loader) to the first batch goes, phase by phase. Press Start, or ask for the start-up alone:",
    SENT: "What each worker is sent when it starts is weighed before the first trial. Press Start, or ask for the start-up alone:",
    IMPORTS: "What workers import when they start. Only spawn and forkserver import the script again: sweep them, or ask for the "
    "start-up alone:",
    EXPERIMENT: "The experiment tries each start method with 0, 1, 2 and 4 workers and few batches, and shows what would make "
    "starts cheaper:",
}
ONE_LOADER = "Choose one loader above the timeline to see this of it."
TRAINING_RUNS = "The training is running. Where the time to the first batch of each loader went appears when it ends."
UNWEIGHED_IN_TRAINING = "What each worker is sent is not weighed while a training is recorded: that would change it."
FIRST_RUNS = "The first trial is running. Where the time to its first batch went appears when it ends."
NO_FIRST_BATCH = "No trial came to its end, so none tells where the time to its first batch went."
RUNNING = "A bare interpreter and the heaviest imports are measured first. The charts grow with every trial."
FORKED = "The workers of trial {id} import nothing when they start.\nChoose a trial under spawn or forkserver to see what they import."
NO_LINES = "No line of the script's own top level took long in trial {id}, or its workers did not import the script again."
UNWEIGHED = "What each worker is sent was not weighed in this run: the sample was not read before it."


class StartupPanel(QWidget):
    """A choice of views, each under a sentence that says what it shows.

    Signals:
        trialChosen: id of the trial whose bar the user clicked.
        experimentRequested: the user asked for the start-up experiment.
    """

    trialChosen = Signal(int)
    experimentRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._results: tuple[TrialResult, ...] = ()
        self._shown_trial: int | None = None
        self._run: Run | None = None
        self._is_training = False
        self._experiment: StartupExperiment | None = None
        self._awaited = False  # the experiment has started, but has no results yet
        self._chosen = {view: parts[0] for view, parts in PARTS.items()}
        self.chart: PlotChart[StartupData] = PlotChart(STARTUP, StartupData(), "Start-up phases", self)
        self.sent_map = TreeMap("What each worker is sent, as areas", self)
        self.sent_table, self.lines, self.imports = SentTable(), LinesTable(), ImportTree()
        self.experiment: dict[str, PlotChart[ExperimentData]] = {
            name: PlotChart(kind, ExperimentData(), f"Start-up experiment: {name}", self) for name, kind in KINDS.items()
        }
        phases = _scrolled(self.chart)
        self.empty = QLabel()
        self.experiment_button = QPushButton(EXPERIMENT_BUTTON)
        self._pages: dict[tuple[str, str], QWidget] = {
            (PHASES, SETTINGS): phases,
            (PHASES, PROCESSES): phases,
            (SENT, MAP): self.sent_map,
            (SENT, TABLE): self.sent_table,
            (IMPORTS, MODULES): self.imports,
            (IMPORTS, LINES): self.lines,
            **{(EXPERIMENT, name): _scrolled(chart) for name, chart in self.experiment.items()},
        }
        self._build()
        charts: tuple[Chart, ...] = (self.chart, self.sent_map, *self.experiment.values())
        for chart in charts:
            chart.trialChosen.connect(self.trialChosen)
        self._update()

    def _build(self) -> None:
        self.setBackgroundRole(QPalette.ColorRole.Base)
        self.setAutoFillBackground(True)
        row = QHBoxLayout()
        row.setContentsMargins(8, 3, 6, 0)
        row.setSpacing(4)
        self.views: dict[str, QToolButton] = {}
        group = QButtonGroup(self)
        for view in PARTS:
            button = QToolButton()
            button.setText(view)
            button.setToolTip(TIPS[view])
            button.setCheckable(True)
            button.setProperty("chip", True)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda _checked=False, view=view: self.show_view(view))
            group.addButton(button)
            row.addWidget(button)
            self.views[view] = button
        self.views[PHASES].setChecked(True)
        self.part = Choice()
        self.part.setAccessibleName("What of it is shown")
        self.part.setMinimumContentsLength(8)
        self.part.setMaximumWidth(150)
        row.addStretch(1)
        row.addWidget(self.part)
        self.part.currentIndexChanged.connect(lambda _index: self._part_chosen(self.part.currentData()))
        self.sentence = ElidedParagraph()
        self.sentence.setContentsMargins(0, 0, 0, 0)
        line = QHBoxLayout()
        line.setContentsMargins(10, 1, 10, 0)
        line.addWidget(self.sentence)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setWordWrap(True)
        self.empty.setProperty("role", "muted")
        self.experiment_button.setToolTip(EXPERIMENT_TIP)
        self.experiment_button.clicked.connect(self.experimentRequested)
        self._empty_page = QWidget()
        inner = QVBoxLayout(self._empty_page)
        inner.addStretch(1)
        inner.addWidget(self.empty)
        inner.addWidget(self.experiment_button, 0, Qt.AlignmentFlag.AlignCenter)
        inner.addStretch(1)
        self.stack = QStackedWidget()
        for page in dict.fromkeys((*self._pages.values(), self._empty_page)):
            self.stack.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addLayout(row)
        layout.addLayout(line)
        layout.addWidget(self.stack, 1)
        self.setFocusProxy(self.views[PHASES])

    @property
    def data(self) -> StartupData:
        """The data in the chart of phases."""
        return self.chart.data

    @property
    def view(self) -> str:
        """The view that is shown."""
        return next(view for view, button in self.views.items() if button.isChecked())

    def focus_order(self) -> list[QWidget]:
        """Returns the widgets that the keyboard reaches, in order."""
        return [*self.views.values(), self.part, self.sent_table, self.imports, self.lines, self.experiment_button]

    def show_view(self, view: str, part: str | None = None) -> None:
        """Shows a view; `part` is one of its parts, or None for the part that it showed last."""
        self.views[view].setChecked(True)
        self.setFocusProxy(self.views[view])
        self._chosen[view] = part or self._chosen[view]
        self._update()

    def show_results(
        self,
        results: Sequence[TrialResult],
        shown_trial: int | None,
        run: Run | None = None,
        experiment: StartupExperiment | None = None,
        is_training: bool = False,
    ) -> None:
        """Takes the trials of a run and the id of the trial whose timeline is shown.

        Args:
            results: of all trials that have ended.
            shown_trial: whose timeline is shown.
            run: None before its first trial.
            experiment: what starting workers costs, if the run measured it.
            is_training: whether the run records a training.
        """
        self._results = tuple(results)
        self._shown_trial, self._run, self._experiment, self._is_training = shown_trial, run, experiment, is_training
        self._awaited = self._awaited and run is None
        self._update()

    def await_experiment(self, awaited: bool) -> None:
        """Takes whether the experiment runs: True when it begins, False when it ends, with or without results."""
        self._awaited = awaited
        self._update()

    def show_trial(self, shown_trial: int | None) -> None:
        """Takes the id of the trial whose timeline is shown."""
        self._shown_trial = shown_trial
        self._update()

    def _part_chosen(self, part: str | None) -> None:
        if part:
            self._chosen[self.view] = part
            self._update()

    def _update(self) -> None:
        view = self.view
        part = self._chosen[view]
        words = WORDS_OF_TRAINING if self._is_training else {}
        offered = [words.get(each, each) for each in PARTS[view]]
        if [self.part.itemText(index) for index in range(self.part.count())] != offered:
            with QSignalBlocker(self.part):
                self.part.clear()
                for text, each in zip(offered, PARTS[view], strict=True):
                    self.part.addItem(text, each)
        with QSignalBlocker(self.part):
            self.part.setCurrentIndex(self.part.findData(part))
        result = next((result for result in self._results if result.id == self._shown_trial), None)
        fill = {PHASES: self._fill_phases, SENT: self._fill_sent, IMPORTS: self._fill_imports, EXPERIMENT: self._fill_experiment}[view]
        empty, sentence = fill(part, result)
        self.sentence.set_full_text("" if empty else sentence)
        self.empty.setText(empty)
        self.experiment_button.setVisible(empty == EMPTY[view])
        self.stack.setCurrentWidget(self._empty_page if empty else self._pages[view, part])

    def _fill_phases(self, part: str, result: TrialResult | None) -> tuple[str, str]:
        """Fills the view. Like every `_fill_…` returns a hint if there is nothing to show, else an empty text, and the sentence on top."""
        if part == SETTINGS:
            self.chart.set_data(startup_data(self._results))
        else:
            self.chart.set_data(startup_data_of_trial(result) if result is not None else StartupData())
        self._set_chart_height()
        if self.chart.data.bars:
            starts = result is not None and result.config.num_workers
            described = result if starts or part == PROCESSES else startup_sentences.slowest_start(self._results)
            return "", startup_sentences.culprit_sentence(described)
        if not any(result.startup is not None for result in self._results):
            running = TRAINING_RUNS if self._is_training else FIRST_RUNS
            return (running if (self._run is not None or self._is_training) and not self._results else EMPTY[PHASES]), ""
        if part == SETTINGS:
            return NO_FIRST_BATCH, ""
        if self._shown_trial == ALL_LOADERS:
            return ONE_LOADER, ""
        return "This trial did not start. Choose another, or every setting.", ""

    def _set_chart_height(self) -> None:
        self.chart.setMinimumHeight(max(LEAST_CHART_HEIGHT_PX, least_height_px(self.chart.data, self.width())))

    def _fill_sent(self, _part: str, _result: TrialResult | None) -> tuple[str, str]:
        sent: list[SentPart] | None = self._run.sent if self._run is not None else None
        self.sent_map.set_data(sent_data(sent))
        self.sent_table.show_sent(sent or [])
        if sent is None:
            return (UNWEIGHED_IN_TRAINING if self._is_training else EMPTY[SENT] if self._run is None else UNWEIGHED), ""
        return "", startup_sentences.sent_sentence(sent)

    def _fill_imports(self, part: str, result: TrialResult | None) -> tuple[str, str]:
        startup = result.startup if result is not None else None
        self.imports.show_imports(startup.imports if startup is not None else [])
        self.lines.show_lines(startup.lines if startup is not None else [])
        if startup is None or result is None:
            return (ONE_LOADER if self._shown_trial == ALL_LOADERS else EMPTY[IMPORTS]), ""
        if part == LINES:
            return ("", startup_sentences.lines_sentence(result)) if startup.lines else (NO_LINES.format(id=result.id), "")
        return ("", startup_sentences.imports_sentence(result)) if startup.imports else (FORKED.format(id=result.id), "")

    def _fill_experiment(self, part: str, _result: TrialResult | None) -> tuple[str, str]:
        experiment = self._experiment
        for name, chart in self.experiment.items():
            chart.set_data(ExperimentData(experiment))
            chart.setMinimumHeight(max(LEAST_CHART_HEIGHT_PX, height_px(name, chart.data)))
        if experiment is None:
            return (RUNNING if self._awaited else EMPTY[EXPERIMENT]), ""
        return "", startup_sentences.experiment_sentence(experiment, part)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.sentence.set_lines(MANY_LINES if event.size().height() >= MANY_LINES_FROM_PX else FEW_LINES)
        self._set_chart_height()


def _scrolled(chart: QWidget) -> QScrollArea:
    """Returns a scroll area around a chart, which may be higher than the panel."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(chart)
    return area
