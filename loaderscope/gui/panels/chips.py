"""The chips of one axis of the sweep: they switch its values on and off, and the user can add a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QIntValidator
from PySide6.QtWidgets import QLabel, QLayout, QLayoutItem, QLineEdit, QPushButton, QVBoxLayout, QWidget

from loaderscope.facts.settings import OWN, value_text


class AxisChips(QWidget):
    """One axis of the sweep. At least one value stays on.

    Signals:
        changed: the values that are on changed, or were set anew.
        edited: the user changed them.
    """

    changed = Signal()
    edited = Signal()

    def __init__(self, label: str, tip: str, limits: tuple[int, int] | None = None, parent: QWidget | None = None) -> None:
        """The user may add numbers within `limits`; None: the values are fixed."""
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
            self._add_button.clicked.connect(self._open_edit)
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
        """Returns the values that are on, in the order of the chips."""
        return tuple(value for value, chip in self._chips if chip.isChecked())

    def offered(self) -> list[Any]:
        """Returns all values, on or off."""
        return [value for value, _ in self._chips]

    def set_values(self, offered: Sequence[object], chosen: Sequence[object]) -> None:
        """Replaces the chips and switches the chosen values on. Numbers are sorted; chosen values need not be among the offered ones."""
        everything: list[Any] = [*offered, *(value for value in chosen if value not in offered)]
        if self._limits is not None:
            everything.sort(key=_sort_key)
        if everything == self.offered():  # the usual case: it spares the time that new chips take
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
        """Returns the button of a value.

        Raises:
            KeyError: the axis has no such value.
        """
        for other, chip in self._chips:
            if other == value and type(other) is type(value):  # True == 1
                return chip
        raise KeyError(value)

    def focus_order(self) -> list[QWidget]:
        """Returns the widgets that take the keyboard, from left to right."""
        chips: list[QWidget] = [chip for _, chip in self._chips]
        return [*chips, self._add_button, self._edit] if self._limits is not None else chips

    def add_value(self, value: int) -> None:
        """Switches a value on; a new value gets a chip."""
        if value in self.offered():
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
            index = sum(_sort_key(other) < _sort_key(value) for other in self.offered())
        self._chips.insert(index, (value, chip))
        self._flow.insert_widget(index, chip)

    def _toggled(self, chip: QPushButton) -> None:
        if not self.values():
            chip.setChecked(True)  # a sweep needs a value on every axis
        self.edited.emit()
        self.changed.emit()

    def _open_edit(self) -> None:
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


def _sort_key(value: int | None) -> int:
    """Sorts numbers; None, the value that the script itself has, comes first."""
    return -1 if value is None else value


class FlowLayout(QLayout):
    """A layout that puts items of their preferred size into lines, from left to right."""

    def __init__(self, parent: QWidget | None = None, gap: int = 4) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._gap = gap
        self._heights: dict[int, int] = {}  # by width; Qt asks for them over and over
        self.setContentsMargins(0, 0, 0, 0)

    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)

    def insert_widget(self, index: int, widget: QWidget) -> None:
        """Adds a widget before the item at an index."""
        self.addWidget(widget)
        self._items.insert(index, self._items.pop())
        self.invalidate()

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:
        return True

    def invalidate(self) -> None:
        self._heights.clear()
        super().invalidate()

    def heightForWidth(self, width: int) -> int:
        if width not in self._heights:
            self._heights[width] = self._arrange(QRect(0, 0, width, 0), move=False)
        return self._heights[width]

    def setGeometry(self, rect: QRect) -> None:
        super().setGeometry(rect)
        self._arrange(rect, move=True)

    def sizeHint(self) -> QSize:
        return self.minimumSize()

    def minimumSize(self) -> QSize:
        size = QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size

    def _arrange(self, rect: QRect, *, move: bool) -> int:
        """Returns the height that the items need in the width of a rectangle; with `move`, puts them into it."""
        x, y, line_height = rect.x(), rect.y(), 0
        for item in self._items:
            widget = item.widget()
            if widget is not None and widget.isHidden():
                continue
            hint = item.sizeHint()
            if x + hint.width() > rect.x() + rect.width() and x > rect.x():
                x, y, line_height = rect.x(), y + line_height + self._gap, 0
            if move:
                item.setGeometry(QRect(QPoint(x, y), hint))
            x += hint.width() + self._gap
            line_height = max(line_height, hint.height())
        return y + line_height - rect.y()
