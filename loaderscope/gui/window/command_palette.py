"""The command palette: the user types part of a name to find and run any command."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QDialog, QFrame, QHeaderView, QLineEdit, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from loaderscope.gui.style.theme import current_palette
from loaderscope.gui.window.command_table import CommandSet, matching_commands

_LONGEST_NAME_PX = 280
"""A longer name is cut, so that there is room for the description."""


class CommandPalette(QDialog):
    """A text field above the list of matching commands; Enter runs the selected one."""

    def __init__(self, commands: CommandSet, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self._commands = commands
        self.setAccessibleName("Command palette")
        self.field = QLineEdit()
        self.field.setPlaceholderText("What do you want to do?")
        self.field.setAccessibleName("Name of a command")
        self.field.textChanged.connect(self._fill)
        self.field.installEventFilter(self)
        self.list = QTreeWidget()
        self.list.setAccessibleName("Matching commands")
        self.list.setColumnCount(3)  # name, what it does, keys
        self.list.setHeaderHidden(True)
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setAllColumnsShowFocus(True)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.list.itemActivated.connect(lambda _item: self._run_selected())
        self.list.itemClicked.connect(lambda _item: self._run_selected())
        card = QFrame()
        card.setProperty("card", True)
        layout = QVBoxLayout(card)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(6)
        layout.addWidget(self.field)
        layout.addWidget(self.list)
        outer_layout = QVBoxLayout(self)
        outer_layout.setContentsMargins(0, 0, 0, 0)
        outer_layout.addWidget(card)
        self.setFixedSize(860, 420)

    def open_over(self, window: QWidget) -> None:
        """Shows the palette at the top centre of a window."""
        self.field.clear()
        self._fill("")
        corner = window.mapToGlobal(window.rect().topLeft())
        self.move(corner.x() + (window.width() - self.width()) // 2, corner.y() + 60)
        self.show()
        self.field.setFocus()

    def _fill(self, query: str) -> None:
        self.list.clear()
        for command in matching_commands(query):
            action = self._commands[command.name]
            keys = QKeySequence(command.keys[0]).toString(QKeySequence.SequenceFormat.NativeText) if command.keys else ""
            item = QTreeWidgetItem([command.text.rstrip("…"), command.tip, keys])
            item.setForeground(1, QColor(current_palette().muted))
            item.setToolTip(0, command.text)
            item.setToolTip(1, command.tip)
            item.setData(0, Qt.ItemDataRole.UserRole, command.name)
            if not action.isEnabled():
                item.setDisabled(True)
                item.setForeground(0, QColor(current_palette().muted))
            self.list.addTopLevelItem(item)
        self.list.setColumnWidth(0, min(self.list.sizeHintForColumn(0), _LONGEST_NAME_PX))
        self._select_row(0)

    def _select_row(self, row: int) -> None:
        item = self.list.topLevelItem(row % max(1, self.list.topLevelItemCount()))
        if item is not None:
            self.list.setCurrentItem(item)

    def _run_selected(self) -> None:
        item = self.list.currentItem()
        if item is None or item.isDisabled():
            return
        self.close()
        self._commands[item.data(0, Qt.ItemDataRole.UserRole)].trigger()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.field and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step is not None:
                self._select_row(self.list.indexOfTopLevelItem(self.list.currentItem()) + step)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run_selected()
                return True
        return super().eventFilter(watched, event)
