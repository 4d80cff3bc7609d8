"""The choice of what to do with a script: try settings on its loader alone, or in its training, or record the training as it is."""

from __future__ import annotations

import dataclasses

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QLabel, QRadioButton, QVBoxLayout, QWidget

from loaderscope.gui.panels.labels import heading


@dataclasses.dataclass(frozen=True)
class RunKind:
    """Something that can be done with a script.

    Attributes:
        key: in the settings of the window.
        title: beside its button.
        meaning: a line below the title.
        start_text: on the button that starts it.
    """

    key: str
    title: str
    meaning: str
    start_text: str


SWEEP = RunKind("sweep", "Try settings on the loader alone", "Runs the loader with each setting, without the training.", "Start")
TRAINING_SWEEP = RunKind(
    "training-sweep", "Try settings in the training", "Runs the training with each setting, until it has taken enough batches.", "Start…"
)
TRAINING = RunKind(
    "training", "Record the training as it is", "Runs the whole script once, as you would, with all that it writes.", "Record"
)
RUN_KINDS = (SWEEP, TRAINING_SWEEP, TRAINING)

_TEXT_INDENT_PX = 22


class RunKindChoice(QWidget):
    """A button for each kind of run, with its meaning below.

    Signals:
        chosen: the user chose another kind.
    """

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 2, 12, 4)
        layout.setSpacing(1)
        layout.addWidget(heading("What to do"))
        layout.addSpacing(3)
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QRadioButton] = {}
        for kind in RUN_KINDS:
            button = self.buttons[kind.key] = QRadioButton(kind.title)
            button.setAccessibleDescription(kind.meaning)
            self._group.addButton(button)
            meaning = QLabel(kind.meaning)
            meaning.setProperty("role", "muted")
            meaning.setTextFormat(Qt.TextFormat.PlainText)
            meaning.setWordWrap(True)
            meaning.setIndent(_TEXT_INDENT_PX)
            layout.addWidget(button)
            layout.addWidget(meaning)
            layout.addSpacing(3)
        self.show_kind(SWEEP)
        self._group.buttonToggled.connect(self._toggled)

    @property
    def kind(self) -> RunKind:
        """The chosen kind."""
        return next(kind for kind in RUN_KINDS if self.buttons[kind.key].isChecked())

    def show_kind(self, kind: RunKind) -> None:
        """Chooses a kind without a signal."""
        self._is_showing = True
        self.buttons[kind.key].setChecked(True)
        self._is_showing = False

    def _toggled(self, _button: QRadioButton, is_checked: bool) -> None:
        if is_checked and not self._is_showing:
            self.chosen.emit()
