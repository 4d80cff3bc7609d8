"""The request for a sweep: axes, consumer, sizes and budget, and a forecast of what the sweep will take."""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from loaderscope.agent.epoch_count import SHORT_EPOCH_S
from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.facts.consumers import CONSUMERS, NOBODY, kind_of
from loaderscope.facts.request import Axes, Request
from loaderscope.facts.settings import BY_FIELD, SETTINGS
from loaderscope.facts.text import bytes_text, count_text, rough_duration_text
from loaderscope.gui.panels.chips import AxisChips
from loaderscope.gui.panels.combo_box import Choice
from loaderscope.gui.panels.labels import heading
from loaderscope.gui.panels.run_kind_choice import SWEEP, TRAINING, RunKind
from loaderscope.sweep.machine import usable_cpus
from loaderscope.sweep.space import DEFAULT_BATCH_SIZE, default_workers

NOT_VARIED_BY_EXPERIMENT = ("batch_size", "prefetch_factor", "pin_memory", "in_order", "sharing_strategy", "threads")
"""Fields of settings that the start-up experiment leaves as they are chosen here."""

BUDGETS = (
    ("No time limit", None),
    ("At most 1 minute", 60.0),
    ("At most 5 minutes", 300.0),
    ("At most 15 minutes", 900.0),
    ("At most 1 hour", 3600.0),
)

EXPERIMENT_BUTTON = "Why is start-up slow?"
EXPERIMENT_TIP = (
    "Tries each start method with 0, 1, 2 and 4 workers, persistent and not, with few batches,\n"
    "and shows what starting workers costs and what would make it cheaper (F6)"
)

PCIE_TIP = (
    "What goes over PCIe to and from each GPU of the trial, measured by NVML every 2 seconds.\n"
    "Each reading waits 20 ms a direction in a thread of its own, and sees only those 20 ms."
)


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a sweep will take. None where that is unknown yet.

    Attributes:
        trials: number of its trials.
        seconds: how long it takes.
        peak_bytes: the most memory that it takes.
        available_bytes: the memory that this machine can give it.
        skipped: a reason for each skipped setting.
        problem: a sentence that says why the sweep cannot start; empty if it can.
        commit: a text that says from how many workers on Windows refuses memory; None elsewhere.
        each: how much each trial runs, in words; empty where the fields of the panel say it.
    """

    trials: int
    seconds: float | None
    peak_bytes: float | None
    available_bytes: float | None
    skipped: tuple[str, ...] = ()
    problem: str = ""
    commit: str | None = None
    each: str = ""


class SweepPanel(QWidget):
    """The axes as chips and the rest as small fields.

    Signals:
        changed: a value of the request changed.
        startRequested: the user asked for the run that is chosen.
        startupRequested: the user asked for the start-up experiment.
    """

    changed = Signal()
    startRequested = Signal()
    startupRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.axes = {setting.field: AxisChips(setting.label, setting.tip, setting.limits) for setting in SETTINGS}
        self._build()
        self.footer = self._build_footer()
        self.expected_s: float | None = None  # forecast of the present sweep
        self.expected_trials = 0
        self._kind = SWEEP
        self.expected_startup_s: float | None = None  # forecast of the start-up experiment
        self._is_filling = True
        workers, methods = default_workers(usable_cpus()), multiprocessing.get_all_start_methods()
        computed: dict[str, tuple[Sequence[object], Sequence[object]]] = {
            "num_workers": ([*workers, max(workers[-1] * 2, 1)], workers),
            "batch_size": (BY_FIELD["batch_size"].offered, [DEFAULT_BATCH_SIZE]),
            "start_method": (methods, [multiprocessing.get_start_method(allow_none=True) or methods[0]]),
        }
        for setting in SETTINGS:
            offered, chosen = computed.get(setting.field) or (setting.offered, setting.default or (None,))
            self.axes[setting.field].set_values(offered, chosen)
        self.set_consumers(False, False)
        self._own_batch_size = True
        self._is_filling = False
        for axis in self.axes.values():
            axis.changed.connect(self._report)
            axis.changed.connect(self._order_keyboard)
        self._order_keyboard()
        self.axes["batch_size"].edited.connect(self._keep_batch_size)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 4, 12, 8)
        layout.setSpacing(6)
        self.consumer_heading = heading("Consumer")
        layout.addWidget(self.consumer_heading)
        self.consumer = Choice()
        self.consumer.setAccessibleName("Consumer of the batches")
        self.consumer.setMinimumContentsLength(8)
        self.consumer.setToolTip(
            "Who takes the batches: the script's train_step(batch), or the function that its make_train_step() returns,\n"
            "or a simulated step. Without one the loader runs as fast as it can, and nothing can be said about waiting GPUs"
        )
        self.consumer_ms = QDoubleSpinBox()
        self.consumer_ms.setRange(0.1, 60_000)
        self.consumer_ms.setDecimals(1)
        self.consumer_ms.setValue(10)
        self.consumer_ms.setSuffix(" ms")
        self.consumer_ms.setMinimumWidth(84)
        self.consumer_ms.setAccessibleName("Milliseconds of one step")
        self.consumer_ms.setToolTip(
            "How long one simulated training step takes: it is told how busy an accelerator that needs this time for a batch would be"
        )
        line = QHBoxLayout()
        line.addWidget(self.consumer, 3)
        line.addWidget(self.consumer_ms, 1)
        layout.addLayout(line)
        layout.addSpacing(4)
        layout.addWidget(heading("Sweep"))
        for axis in self.axes.values():
            layout.addWidget(axis)
        layout.addSpacing(4)
        layout.addWidget(heading("Each trial"))
        self.batches = self._spin((0, 1_000_000), 100, "batches", "Batches of each epoch; below 1 means all")
        self.batches.setSpecialValueText("all")
        self.epochs = self._spin(
            (0, 1000),
            0,
            "epochs",
            "Epochs of each trial; two or more show what persistent workers and caches save.\n"
            f"Below 1: one; a second where the first takes under {SHORT_EPOCH_S:g} s; more where an epoch has too few batches for a rate",
        )
        self.epochs.setSpecialValueText("as needed")
        self.repeats = self._spin(
            (1, 100), 1, "repeats", "How often each setting is measured; from 3 on, ties are judged by paired differences"
        )
        self.train_epochs = self._spin(
            (1, 100_000), 10, "training epochs", "Epochs of your real training: its projected time is what the recommendation minimises"
        )
        self.train_batches = self._spin(
            (0, 1_000_000_000),
            0,
            "training batches",
            "Batches (steps) of your real training, in place of its epochs; below 1 means that epochs count",
        )
        self.train_batches.setSpecialValueText("by epochs")
        self.train_batches.valueChanged.connect(lambda batches: self.train_epochs.setEnabled(not batches))
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        for index, (text, box) in enumerate(
            (
                ("batches", self.batches),
                ("epochs", self.epochs),
                ("repeats", self.repeats),
                ("training epochs", self.train_epochs),
                ("training batches", self.train_batches),
            )
        ):
            label = QLabel(text)
            label.setProperty("role", "muted")
            label.setBuddy(box)
            label.setToolTip(box.toolTip())
            grid.addWidget(label, index // 2 * 2, index % 2)
            grid.addWidget(box, index // 2 * 2 + 1, index % 2)
        layout.addLayout(grid)
        layout.addSpacing(4)
        layout.addWidget(heading("Budget"))
        self.budget = QComboBox()
        self.budget.setAccessibleName("Time budget of the sweep")
        self.budget.setToolTip("The sweep ends when this time is used up; finished trials are kept")
        for text, seconds in BUDGETS:
            self.budget.addItem(text, seconds)
        layout.addWidget(self.budget)
        self.ceiling = QCheckBox("Measure a perfect loader, too")
        self.ceiling.setToolTip(
            "One more trial, the last, serves batches from memory: no loader can make the step faster than that.\n"
            "It shows how much better loading could gain at most"
        )
        self.ceiling.setChecked(True)
        self.ceiling.toggled.connect(self._report)
        layout.addWidget(self.ceiling)
        self.probe_trial = QCheckBox("Look closer at the workers, too")
        self.probe_trial.setToolTip(
            "One more short trial, the last, compares what workers read and draw: equal samples, equal random numbers,\n"
            "caches and other state that is lost. It never changes what the dataset does"
        )
        self.probe_trial.setChecked(True)
        self.probe_trial.toggled.connect(self._report)
        layout.addWidget(self.probe_trial)
        self.pcie = QCheckBox("Read PCIe throughput")
        self.pcie.setToolTip(PCIE_TIP)
        self.pcie.hide()
        self.pcie.toggled.connect(self._report)
        layout.addWidget(self.pcie)
        self.consumer.currentIndexChanged.connect(self._report)
        self.consumer_ms.valueChanged.connect(self._report)
        self.budget.currentIndexChanged.connect(self._report)

    def _build_footer(self) -> QWidget:
        """Returns the forecasts and the start buttons. They stay below the panel when it scrolls."""
        self.forecast = QLabel()
        self.forecast.setWordWrap(True)
        self.forecast.setTextFormat(Qt.TextFormat.RichText)
        self.forecast.setAccessibleName("What the sweep will take")
        self.start = QPushButton("Start")
        self.start.setProperty("primary", True)
        self.start.setAccessibleName("Start the sweep")
        self.start.clicked.connect(self.startRequested)
        self.experiment_button = QPushButton(EXPERIMENT_BUTTON)
        self.experiment_button.setToolTip(EXPERIMENT_TIP)
        self.experiment_button.clicked.connect(self.startupRequested)
        self.experiment_forecast = QLabel()
        self.experiment_forecast.setProperty("role", "muted")
        self.experiment_forecast.setWordWrap(True)
        self.experiment_forecast.setAccessibleName("What the start-up experiment will take")
        footer = QWidget()
        layout = QVBoxLayout(footer)
        layout.setContentsMargins(12, 6, 12, 10)
        layout.setSpacing(6)
        layout.addWidget(self.forecast)
        layout.addWidget(self.start)
        layout.addWidget(self.experiment_button)
        layout.addWidget(self.experiment_forecast)
        return footer

    def _spin(self, limits: tuple[int, int], value: int, name: str, tip: str) -> QSpinBox:
        box = QSpinBox()
        box.setRange(*limits)
        box.setValue(value)
        box.setToolTip(tip)
        box.setAccessibleName(name)
        box.setKeyboardTracking(False)
        box.valueChanged.connect(self._report)
        return box

    def _order_keyboard(self) -> None:
        """Lets Tab go through the panel from top to bottom; without it, chips added later come last in the whole window."""
        chips = [widget for axis in self.axes.values() for widget in axis.focus_order()]
        sizes = (self.batches, self.epochs, self.repeats, self.train_epochs, self.train_batches)
        checks = (self.budget, self.ceiling, self.probe_trial, self.pcie)
        for first, second in itertools.pairwise((self.consumer, self.consumer_ms, *chips, *sizes, *checks)):
            QWidget.setTabOrder(first, second)

    def _keep_batch_size(self) -> None:
        self._own_batch_size = False

    def _report(self) -> None:
        has_consumer = self._kind is SWEEP
        self.consumer_ms.setVisible(has_consumer and kind_of(self.consumer_choice()).is_timed)
        self.ceiling.setVisible(not has_consumer or kind_of(self.consumer_choice()).has_ceiling)
        self.probe_trial.setVisible(has_consumer)
        if not self._is_filling:
            self.changed.emit()

    def show_kind(self, kind: RunKind) -> None:
        """Shows what concerns a kind of run: a recorded training has no settings to choose."""
        is_training, self._kind = kind is TRAINING, kind
        self.setVisible(not is_training)
        for widget in (self.consumer_heading, self.consumer):
            widget.setVisible(kind is SWEEP)
        self.start.setText(kind.start_text)
        self.start.setAccessibleName("Record the training" if is_training else "Start the sweep")
        self.experiment_button.setVisible(kind is SWEEP)
        self.experiment_forecast.setVisible(kind is SWEEP)
        self._report()

    def set_consumers(self, has_step: bool, has_accelerator: bool) -> None:
        """Offers the consumers that are possible, and chooses the script's own step if it has one."""
        kept = self.consumer.currentData()
        self.consumer.blockSignals(True)
        self.consumer.clear()
        for kind in sorted(CONSUMERS, key=lambda kind: not kind.needs_step):
            if (
                kind.offered_as is None
                and not kind.is_training
                and (has_step or not kind.needs_step)
                and (has_accelerator or not kind.needs_accelerator)
            ):
                self.consumer.addItem(kind.title, kind.key)
                self.consumer.setItemData(self.consumer.count() - 1, kind.tip, Qt.ItemDataRole.ToolTipRole)
        index = self.consumer.findData(kept) if kept not in (None, NOBODY.key) else 0
        self.consumer.setCurrentIndex(max(0, index))
        self.consumer.blockSignals(False)
        self._report()

    def set_environment(self, start_methods: Sequence[str], default: str | None, has_gpu: bool) -> None:
        """Offers the start methods of the chosen interpreter, and what needs a GPU if there is one."""
        if start_methods:
            chosen = [method for method in self.axes["start_method"].values() if method in start_methods]
            self.axes["start_method"].set_values(start_methods, chosen or [default or start_methods[0]])
        self.pcie.setVisible(has_gpu)
        self.axes["pin_memory"].set_unavailable("" if has_gpu else "off: there is no GPU to pin memory for")

    def set_current(self, current: TrialConfig | None, own_batches: bool = False) -> None:
        """Shows the loader's own batch size unless the user chose another; `own_batches` says that the loader makes its batches itself."""
        self.axes["batch_size"].set_unavailable("fixed: the loader makes its batches itself" if own_batches else "")
        size = current.batch_size if current is not None and current.batch_size else 32
        if self._own_batch_size:
            self.axes["batch_size"].set_values(sorted({max(1, size // 2), size, size * 2}), [size])

    def consumer_choice(self) -> Consumer:
        """Returns the chosen consumer of the batches."""
        chosen = Consumer(self.consumer.currentData() or NOBODY.key)
        return dataclasses.replace(chosen, ms=self.consumer_ms.value()) if kind_of(chosen).is_timed else chosen

    def apply_to(self, request: Request) -> Request:
        """Returns the request with the values of this panel."""
        chosen = {field: chips.values() if chips.available else None for field, chips in self.axes.items()}
        if self._own_batch_size:
            chosen["batch_size"] = None
        chosen = {field: None if values == (None,) else values for field, values in chosen.items()}
        return dataclasses.replace(
            request,
            axes=Axes.of(chosen),
            consumer=self.consumer_choice(),
            batches=self.batches.value() or None,
            epochs=self.epochs.value() or None,
            repeats=self.repeats.value(),
            train_epochs=self.train_epochs.value(),
            train_batches=self.train_batches.value() or None,
            max_seconds=self.budget.currentData(),
            pcie=self.pcie.isVisibleTo(self) and self.pcie.isChecked(),
            ceiling=self.ceiling.isChecked(),
            probe_trial=self.probe_trial.isChecked(),
        )

    def startup_request(self, request: Request) -> Request:
        """Returns the request as a start-up experiment.

        It leaves open the axes that the experiment varies itself; each other axis gets the first value chosen here.
        """
        chosen = self.apply_to(request).axes
        first = {field: (getattr(chosen, field) or ())[:1] for field in NOT_VARIED_BY_EXPERIMENT}
        plain = Request(request.script)
        return dataclasses.replace(
            request,
            axes=Axes.of(first),
            consumer=None,
            device=None,
            batches=plain.batches,
            epochs=plain.epochs,
            repeats=plain.repeats,
            train_epochs=self.train_epochs.value(),
            max_seconds=self.budget.currentData(),
            startup=True,
        )

    def show_request(self, request: Request) -> None:
        """Shows the values of a request, such as that of an opened session."""
        self._is_filling = True
        for field, chips in self.axes.items():
            chosen = getattr(request.axes, field) or ((None,) if BY_FIELD[field].has_own else ())
            if chosen:
                chips.set_values(chips.offered(), list(chosen))
        self._own_batch_size = request.axes.batch_size is None
        if request.consumer is not None and not kind_of(request.consumer).is_training:
            kind = kind_of(request.consumer)
            key = kind.offered_as or kind.key
            if self.consumer.findData(key) < 0:
                self.set_consumers(has_step=kind.needs_step, has_accelerator=kind.needs_accelerator)
            self.consumer.setCurrentIndex(max(0, self.consumer.findData(key)))
            if request.consumer.ms:
                self.consumer_ms.setValue(request.consumer.ms)
        for box, value in (
            (self.batches, request.batches or 0),
            (self.epochs, request.epochs or 0),
            (self.repeats, request.repeats),
            (self.train_epochs, request.train_epochs),
            (self.train_batches, request.train_batches or 0),
        ):
            box.setValue(min(value, box.maximum()))  # setValue takes 32 bits
        self.budget.setCurrentIndex(max(0, self.budget.findData(request.max_seconds)))
        self.pcie.setChecked(request.pcie)
        self.ceiling.setChecked(request.ceiling)
        self.probe_trial.setChecked(request.probe_trial)
        self._is_filling = False
        self._report()

    def set_startup_forecast(self, forecast: Forecast | None) -> None:
        """Shows what the start-up experiment would take; None if it cannot start now."""
        self.expected_startup_s = forecast.seconds if forecast is not None else None
        self.experiment_forecast.setVisible(forecast is not None and self._kind is SWEEP)
        if forecast is not None:
            text = count_text(forecast.trials, "trial")
            self.experiment_forecast.setText(
                text if forecast.seconds is None else f"{text} · about {rough_duration_text(forecast.seconds)}"
            )

    def set_forecast(self, forecast: Forecast | None) -> None:
        """Shows what the sweep would take; None while that is unknown."""
        self.expected_s = forecast.seconds if forecast is not None and not forecast.problem else None
        self.expected_trials = forecast.trials if forecast is not None else 0
        if forecast is None:
            self.forecast.setText("")
            return
        if forecast.problem:
            self.forecast.setText(forecast.problem)
            return
        lines = [f"<b>{count_text(forecast.trials, 'trial')}</b>"]
        if forecast.each:
            lines[0] += f" × {forecast.each}"
        if forecast.seconds is not None:
            lines[0] += f" · about {rough_duration_text(forecast.seconds)}"
        elif forecast.each:
            lines.append("The first trial shows how long that takes.")
        if forecast.peak_bytes is not None:
            of = f" of {bytes_text(forecast.available_bytes)}" if forecast.available_bytes else ""
            lines.append(f"peak memory about {bytes_text(forecast.peak_bytes)}{of}")
        if forecast.commit is not None:
            lines.append(forecast.commit)
        reasons = list(dict.fromkeys(forecast.skipped))
        if len(reasons) == 1:
            lines.append(f"{len(forecast.skipped)} skipped: {reasons[0]}")
        elif reasons:
            lines.append(f"{len(forecast.skipped)} skipped, hover to see why")
        self.forecast.setText("<br>".join(lines))
        self.forecast.setToolTip("\n".join(reasons))
