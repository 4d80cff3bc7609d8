"""The comparison of two trials: the list to choose the second trial from, and the timeline that shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QWidget

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.results import TrialResult
from loaderscope.facts.statuses import status_of
from loaderscope.gui.panels.combo_box import Choice
from loaderscope.gui.run.run_state import RunState
from loaderscope.gui.run.trace_loader import LoadedTrace, TraceLoader
from loaderscope.gui.style.words import trial_name, trial_title
from loaderscope.gui.timeline.widget.timeline_pair import TimelinePair

_TIP = "Show a second trial below, both aligned at their first batch (Ctrl+K)"
_NOT_YET = "Two trials can be compared when both are finished"


def comparable_trials(results: Sequence[TrialResult], shown: int | None, best: TrialConfig | None) -> list[TrialResult]:
    """Returns the trials that `shown` can be compared with.

    The most instructive is first: a good one without workers, else a good one of the recommended setting.
    """
    if not any(result.id == shown and status_of(result.status).is_outcome for result in results):
        return []
    fitting = [result for result in results if result.id != shown and status_of(result.status).is_outcome]
    good = [result for result in fitting if result.status == "ok" and result.replaced_by is None and result.purpose.is_of_setting]
    without_workers = [result for result in good if result.config.num_workers == 0]
    first = next(iter(without_workers or [result for result in good if result.config == best]), None)
    return ([first] if first is not None else []) + [result for result in fitting if result is not first]


class CompareBar(QWidget):
    """A list of trials to compare with, and a button that ends the comparison.

    Signals:
        chosen: the id of a trial from the list.
        closed: the user pressed the button or Esc.
    """

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
        """Fills the list and selects the present partner, if there is one."""
        entries = [(result.id, trial_name(result)) for result in partners]
        if entries != [(self.choice.itemData(index), self.choice.itemText(index)) for index in range(self.choice.count())]:
            self.choice.clear()
            for trial_id, text in entries:
                self.choice.addItem(text, trial_id)
        self.choice.setCurrentIndex(-1 if partner is None else self.choice.findData(partner))
        self.choice.setEnabled(bool(entries))
        self.choice.setToolTip(_TIP if entries else _NOT_YET)
        self.close_button.setVisible(partner is not None)


class Comparison:
    """Shows a partner in the second timeline, and keeps it when the first timeline shows another trial.

    Attributes:
        partner: id of the trial to compare with; None without a comparison.
    """

    def __init__(self, pair: TimelinePair, bar: CompareBar, show_message: Callable[[str], object]) -> None:
        """Shows no comparison yet.

        Args:
            pair: the two timelines.
            bar: the list of trials.
            show_message: shows a sentence to the user.
        """
        self._pair, self._bar, self._show_message = pair, bar, show_message
        self._state: RunState | None = None
        self._shown: int | None = None
        self._best: TrialConfig | None = None
        self.partner: int | None = None
        self._compared: tuple[int, int] | None = None
        self._loader = TraceLoader(self._show_loaded, pair)
        bar.chosen.connect(self.choose)
        bar.closed.connect(self.close)
        pair.notAligned.connect(self._not_aligned)

    def update(self, state: RunState, shown: int | None, best: TrialConfig | None) -> None:
        """Adapts to another shown trial, or to more trials to compare with."""
        if state is not self._state:
            self.partner = None
        self._state, self._shown, self._best = state, shown, best
        self._update_pair()

    def choose(self, trial_id: int) -> None:
        """Compares the shown trial with another one."""
        self.partner = trial_id
        self._update_pair()

    def close(self) -> None:
        """Shows one trial alone again."""
        self.partner = None
        self._update_pair()

    def toggle(self) -> None:
        """Compares with the most instructive trial, or ends the comparison."""
        partners = self._partners()
        if self.partner is not None:
            self.close()
        elif partners:
            self.choose(partners[0].id)
        else:
            self._show_message(f"{_NOT_YET}.")

    def _partners(self) -> list[TrialResult]:
        return comparable_trials(self._state.snapshot().results, self._shown, self._best) if self._state is not None else []

    def _update_pair(self) -> None:
        partners = self._partners()
        other = next((result for result in partners if result.id == self.partner), None)
        previous, self._compared = self._compared, (self._shown, other.id) if other is not None and self._shown is not None else None
        if self._compared is None:
            self._pair.close_second()
        elif self._compared != previous and self._state is not None:
            self._loader.read(self._state, self._compared[1])
        self._bar.show_partners(partners, self.partner if other is not None else None)

    def _show_loaded(self, loaded: LoadedTrace) -> None:
        """Shows the trace of the partner, unless another partner was chosen meanwhile."""
        if loaded.state is not self._state or self._compared is None or self._compared[1] != loaded.trial_id:
            return
        if loaded.trace is None:
            self._show_message(loaded.problem or f"Trial {loaded.trial_id} has no timeline.")
            self.close()
            return
        results = {result.id: result for result in loaded.state.snapshot().results}
        self._pair.compare(loaded.trace, (trial_title(results[self._compared[0]]), trial_title(results[loaded.trial_id])))

    def _not_aligned(self) -> None:
        self._show_message(f"Trials {self._shown} and {self.partner} cannot be aligned: one of them never had a batch.")
        self.close()
