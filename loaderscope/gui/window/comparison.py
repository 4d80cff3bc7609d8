"""Which trial is shown below the first one: the choice beside the list of trials, and what is proposed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QWidget

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.results import TrialResult
from loaderscope.facts.settings import setting_text
from loaderscope.facts.statuses import status_of
from loaderscope.gui.panels.combo_box import Choice
from loaderscope.gui.run.run_state import RunState
from loaderscope.gui.run.trace_loader import LoadedTrace, TraceLoader
from loaderscope.gui.style.words import pair_title
from loaderscope.gui.timeline.widget.timeline_pair import TimelinePair

_TIP = "Show a second trial below, both aligned at their first batch (Ctrl+K)"
_NOT_YET = "Two trials can be compared when both are finished"


def partners_of(results: Sequence[TrialResult], shown: int | None, best: TrialConfig | None) -> list[TrialResult]:
    """The trials that another can be compared with, the most telling first: 0 workers, else the recommended setting."""
    if not any(result.id == shown and status_of(result.status).is_outcome for result in results):
        return []
    fitting = [result for result in results if result.id != shown and status_of(result.status).is_outcome]
    good = [result for result in fitting if result.status == "ok"]
    without_workers = [result for result in good if result.config.num_workers == 0]
    first = next(iter(without_workers or [result for result in good if result.config == best]), None)
    return ([first] if first is not None else []) + [result for result in fitting if result is not first]


class CompareBar(QWidget):
    """A list of trials to compare with and a button that ends it. `chosen` with a trial, `closed` by the button or Esc."""

    chosen = Signal(int)
    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.choice = Choice()
        self.choice.setAccessibleName("Trial to compare with")
        self.choice.setPlaceholderText("Compare with …")
        self.choice.setMinimumContentsLength(22)
        self.choice.activated.connect(lambda _index: self.chosen.emit(self.choice.currentData()))
        self.close_button = QToolButton()
        self.close_button.setText("×")
        self.close_button.setFixedWidth(34)
        self.close_button.setAccessibleName("Close the comparison")
        self.close_button.setToolTip("Show one trial alone again (Esc in the list)")
        self.close_button.clicked.connect(self.closed)
        self.close_button.hide()
        escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self.choice)
        escape.setContext(Qt.ShortcutContext.WidgetShortcut)
        escape.activated.connect(self.closed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.choice)
        layout.addWidget(self.close_button)

    def show_partners(self, partners: Sequence[TrialResult], partner: int | None) -> None:
        """Fills the list, and selects the trial that is compared with."""
        entries = [(result.id, f"trial {result.id} · {setting_text(result.config)}") for result in partners]
        if entries != [(self.choice.itemData(index), self.choice.itemText(index)) for index in range(self.choice.count())]:
            self.choice.clear()
            for trial_id, text in entries:
                self.choice.addItem(text, trial_id)
        self.choice.setCurrentIndex(-1 if partner is None else self.choice.findData(partner))
        self.choice.setEnabled(bool(entries))
        self.choice.setToolTip(_TIP if entries else _NOT_YET)
        self.close_button.setVisible(partner is not None)


class Comparison:
    """Keeps the second timeline in step with the first, whichever trial that shows."""

    def __init__(self, pair: TimelinePair, bar: CompareBar, tell: Callable[[str], object]) -> None:
        """Takes the two timelines, the list, and what says a sentence to the user."""
        self._pair, self._bar, self._tell = pair, bar, tell
        self._state: RunState | None = None
        self._shown: int | None = None
        self._best: TrialConfig | None = None
        self.partner: int | None = None
        self._compared: tuple[int, int] | None = None
        self._reading = TraceLoader(self._take_read, pair)
        bar.chosen.connect(self.choose)
        bar.closed.connect(self.close)
        pair.notAligned.connect(self._not_aligned)

    def update(self, state: RunState, shown: int | None, best: TrialConfig | None) -> None:
        """Another trial is shown, or there are more of them to compare with."""
        if state is not self._state:
            self.partner = None
        self._state, self._shown, self._best = state, shown, best
        self._show()

    def choose(self, trial_id: int) -> None:
        """Compares the shown trial with another one."""
        self.partner = trial_id
        self._show()

    def close(self) -> None:
        """Shows one trial alone again."""
        self.partner = None
        self._show()

    def toggle(self) -> None:
        """Compares with the trial that tells most, or ends the comparison."""
        partners = self._partners()
        if self.partner is not None:
            self.close()
        elif partners:
            self.choose(partners[0].id)
        else:
            self._tell(f"{_NOT_YET}.")

    def _partners(self) -> list[TrialResult]:
        return partners_of(self._state.snapshot().results, self._shown, self._best) if self._state is not None else []

    def _show(self) -> None:
        partners = self._partners()
        other = next((result for result in partners if result.id == self.partner), None)
        before, self._compared = self._compared, (self._shown, other.id) if other is not None and self._shown is not None else None
        if self._compared is None:
            self._pair.close_second()
        elif self._compared != before and self._state is not None:
            self._reading.read(self._state, self._compared[1])
        self._bar.show_partners(partners, self.partner if other is not None else None)

    def _take_read(self, read: LoadedTrace) -> None:
        """The trace of the partner was read, unless another is wanted by now."""
        if read.state is not self._state or self._compared is None or self._compared[1] != read.trial_id:
            return
        if read.trace is None:
            self._tell(read.problem or f"Trial {read.trial_id} has no timeline.")
            self.close()
            return
        results = {result.id: result for result in read.state.snapshot().results}
        self._pair.compare(read.trace, (pair_title(results[self._compared[0]]), pair_title(results[read.trial_id])))

    def _not_aligned(self) -> None:
        self._tell(f"Trials {self._shown} and {self.partner} cannot be aligned: one of them never had a batch.")
        self.close()
