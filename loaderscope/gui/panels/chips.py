"""The values of one axis as chips to switch on and off, with a way to add a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QIntValidator
from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from loaderscope.facts.settings import OWN, value_text
from loaderscope.gui.panels.flow_layout import FlowLayout


class AxisChips(QWidget):
    """One axis of the sweep. At least one value stays on while the axis is enabled."""

    changed = Signal()
    edited = Signal()  # by the user

    def __init__(self, label: str, tip: str, limits: tuple[int, int] | None = None, parent: QWidget | None = None) -> None:
        """`limits` of the numbers the user may add; None where the values are fixed."""
        super().__init__(parent)
        self._name = label
        self._tip = tip
        self._chips: list[tuple[Any, QPushButton]] = []
        self._label = QLabel(label)
        self._label.setToolTip(tip)
        self._label.setProperty("role", "muted")
        self._reason = QLabel()
        self._reason.setProperty("role", "muted")
        self._reason.setWordWrap(True)
        self._reason.hide()
        self._holder = QWidget()
        self._flow = FlowLayout(self._holder)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self._label)
        layout.addWidget(self._holder)
        layout.addWidget(self._reason)
        self._limits = limits
        if limits is not None:
            self._add_button = QPushButton("+")
            self._add_button.setProperty("chip", True)
            self._add_button.setToolTip(f"Add a value of {label}")
            self._add_button.setAccessibleName(f"Add a value of {label}")
            self._add_button.clicked.connect(self._ask)
            self._edit = QLineEdit()
            self._edit.setValidator(QIntValidator(*limits, self))
            self._edit.setFixedWidth(52)
            self._edit.setAccessibleName(f"New value of {label}, Enter adds it")
            self._edit.hide()
            self._edit.returnPressed.connect(self._add_typed)
            self._edit.installEventFilter(self)
            self._flow.addWidget(self._add_button)
            self._flow.addWidget(self._edit)

    def values(self) -> tuple[Any, ...]:
        """The values that are on, in their order."""
        return tuple(value for value, chip in self._chips if chip.isChecked())

    def offered(self) -> list[Any]:
        """All values, on or off."""
        return [value for value, _ in self._chips]

    def set_values(self, offered: Sequence[object], chosen: Sequence[object]) -> None:
        """Replaces the chips; numbers are sorted, and chosen values that are not offered are added."""
        everything: list[Any] = [*offered, *(value for value in chosen if value not in offered)]
        if self._limits is not None:
            everything.sort(key=_rank)
        if everything == self.offered():  # as it mostly is: making chips anew is what takes time
            for value, chip in self._chips:
                chip.setChecked(value in chosen)
            self.changed.emit()
            return
        for _, chip in self._chips:
            self._flow.removeWidget(chip)
            chip.setParent(None)
            chip.deleteLater()
        self._chips = []
        for value in everything:
            self._insert(value, value in chosen)
        self._holder.updateGeometry()
        self.changed.emit()

    def set_unavailable(self, reason: str) -> None:
        """Greys the axis out and says why; an empty reason makes it available again."""
        self._holder.setVisible(not reason)
        self._reason.setText(reason)
        self._reason.setVisible(bool(reason))

    @property
    def available(self) -> bool:
        return not self._reason.text()

    def chip(self, value: object) -> QPushButton:
        """The button of a value.

        Raises:
            KeyError: the axis has no such value.
        """
        for known, chip in self._chips:
            if known == value and type(known) is type(value):
                return chip
        raise KeyError(value)

    def focus_order(self) -> list[QWidget]:
        """The widgets that take the keyboard, in the order in which they stand."""
        chips: list[QWidget] = [chip for _, chip in self._chips]
        return [*chips, self._add_button, self._edit] if self._limits is not None else chips

    def add_value(self, value: int) -> None:
        """Switches a value on, and adds its chip when it is new."""
        known = [known for known, _ in self._chips]
        if value in known:
            self.chip(value).setChecked(True)
        else:
            self._insert(value, True)
            self._holder.updateGeometry()
        self.changed.emit()

    def _insert(self, value: Any, checked: bool) -> None:
        text = OWN if value is None else value_text(value)
        chip = QPushButton(text)
        chip.setCheckable(True)
        chip.setChecked(checked)
        chip.setProperty("chip", True)
        chip.setToolTip(self._tip)
        chip.setAccessibleName(f"{self._name} {text}")
        chip.setCursor(Qt.CursorShape.PointingHandCursor)
        chip.clicked.connect(lambda _checked=False, chip=chip: self._toggled(chip))
        index = len(self._chips)
        if self._limits is not None:
            index = sum(_rank(known) < _rank(value) for known, _ in self._chips)
        self._chips.insert(index, (value, chip))
        self._flow.insert_widget(index, chip)

    def _toggled(self, chip: QPushButton) -> None:
        if not self.values():
            chip.setChecked(True)  # a sweep needs a value on every axis
        self.edited.emit()
        self.changed.emit()

    def _ask(self) -> None:
        self._add_button.hide()
        self._edit.clear()
        self._edit.show()
        self._edit.setFocus()
        self._holder.updateGeometry()

    def _add_typed(self) -> None:
        if self._edit.hasAcceptableInput():
            self.add_value(int(self._edit.text()))
            self.edited.emit()
        self._close_edit()

    def _close_edit(self) -> None:
        self._edit.hide()
        self._add_button.show()
        self._holder.updateGeometry()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if self._limits is not None and watched is self._edit and self._edit.isVisible():
            if event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape:  # type: ignore[attr-defined]
                self._close_edit()
                self._add_button.setFocus()
                return True
            if event.type() == QEvent.Type.FocusOut:
                self._close_edit()
        return super().eventFilter(watched, event)


def _rank(value: int | None) -> int:
    """By which numbers are sorted; what the script itself has stands first."""
    return -1 if value is None else value
