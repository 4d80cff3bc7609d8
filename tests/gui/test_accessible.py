"""What a screen reader and the keyboard find: a name for everything that can be operated, a way to it, and a ring around it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTabBar,
    QTextEdit,
    QWidget,
)

from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.style.theme import apply_theme
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.gui.window.figure_export import FigureDialog, Options, Subject

OPERATED = (QAbstractButton, QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit, QPlainTextEdit, QTextEdit, Chart, TimelineWidget)
PARTS_OF_QT = ("qt_", "ScrollLeftButton", "ScrollRightButton")


@pytest.fixture
def opened(window, session):
    window.open_path(str(session))
    return window


def operated(window: QWidget) -> list[QWidget]:
    """Widgets that a user operates, without those that Qt makes inside of others."""

    def is_inside(widget: QWidget) -> bool:
        parent = widget.parentWidget()
        inside = isinstance(parent, (QComboBox, QLineEdit, QAbstractSpinBox, QTabBar, QAbstractItemView))
        return inside or (parent is not None and parent.metaObject().className() == "QComboBoxPrivateContainer")

    return [
        widget
        for widget in window.findChildren(QWidget)
        if isinstance(widget, OPERATED) and not is_inside(widget) and not widget.objectName().startswith(PARTS_OF_QT)
    ]


def told(widget: QWidget) -> str:
    """What a screen reader calls it: a name of its own, or the words on a button. (For a list Qt takes what is chosen, if need be.)"""
    words = widget.text() if isinstance(widget, QAbstractButton) else ""
    return (widget.accessibleName() or words).strip()


def where(widget: QWidget) -> str:
    names = []
    while widget is not None:
        names.append(f"{type(widget).__name__}({widget.objectName()})")
        widget = widget.parentWidget()
    return " in ".join(names)


def test_everything_that_is_operated_has_a_name(opened, qtbot):
    dialog = FigureDialog([Subject("Timeline", lambda _: None, True)], 0, Options(), opened)
    qtbot.addWidget(dialog)
    timeline = opened.views.timeline
    timeline.set_arrangement(timeline.arrangement.hide(["main"]))  # notices that are hidden have nothing to tell
    timeline.search_bar.open()
    found = [widget for widget in (*operated(opened), *operated(dialog)) if not widget.isHidden()]
    assert len(found) > 40
    assert "\n".join(where(widget) for widget in found if not told(widget)) == ""


def test_names_of_charts_and_tables_differ(opened):
    names = [told(widget) for widget in operated(opened) if isinstance(widget, (Chart, QAbstractItemView))]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_everything_that_is_operated_can_be_reached_by_keyboard(opened):
    """By Tab, or by the arrow keys from a neighbour in its group."""
    unreachable = [
        where(widget)
        for widget in operated(opened)
        if not widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not (isinstance(widget, QAbstractButton) and widget.group() is not None)
        and widget.focusProxy() is None
    ]
    assert "\n".join(unreachable) == ""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_focus_is_seen(opened, qtbot, theme):
    apply_theme(QApplication.instance(), theme)
    opened.activateWindow()
    other = opened.views.results.table
    seen = [opened.views.throughput, opened.views.timeline, opened.setup.sweep_panel.start, opened.views.trials, opened.views.log.filter]
    opened.setup.sweep_panel.start.setEnabled(True)
    opened.commands["show_log"].trigger()
    for widget in seen:
        other.setFocus()
        without = widget.grab().toImage()
        widget.setFocus()
        assert widget.hasFocus()
        with_focus = widget.grab().toImage()
        assert with_focus != without, where(widget)
