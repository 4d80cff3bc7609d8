"""Marks in the timeline: setting, naming, removing and finding them, by keys and mouse."""

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit
from timeline_actions import Button, Key, Modifier, move, press

from loaderscope.facts.run import Mark


def marked(widget, x, text=""):
    """Sets a mark at a place of the widget, as a user does."""
    move(widget, QPoint(x, 200))
    if not text:
        press(widget, Key.Key_M)
        return
    press(widget, Key.Key_M, Modifier.ShiftModifier)
    field = text_field(widget)
    QTest.keyClicks(field, text)
    press(field, Key.Key_Return)


def text_field(widget):
    return next(field for field in widget.findChildren(QLineEdit) if field.accessibleName() == "Text of the mark")


def flag_of(widget, number):
    """A place on the flag of a mark."""
    x = widget.x_of(widget.marking.marks[number].time_ns)
    return QPoint(round(x) + 3, widget.lane_layout.header_height - 8)


def test_m_sets_a_mark_at_the_crosshair(widget, qtbot):
    with qtbot.waitSignal(widget.marking.changed):
        marked(widget, 500)
    (mark,) = widget.marking.marks
    assert mark.time_ns - widget.scene.origin_ns == pytest.approx(widget.time_at(500), abs=1)


def test_without_the_mouse_m_marks_the_middle_of_the_view(widget):
    press(widget, Key.Key_M)
    (mark,) = widget.marking.marks
    low, high = widget.visible_range_ns()
    assert mark.time_ns == pytest.approx((low + high) / 2, abs=2)


def test_shift_and_m_asks_for_a_text(widget):
    marked(widget, 500, "slow disk")
    assert [mark.text for mark in widget.marking.marks] == ["slow disk"]
    assert widget.hasFocus()


def test_shift_and_m_changes_the_text_of_the_mark_at_the_crosshair(widget):
    marked(widget, 500, "slow")
    marked(widget, 502, "quick")
    assert [mark.text for mark in widget.marking.marks] == ["quick"]


def test_escape_leaves_the_text_as_it_was(widget):
    marked(widget, 500, "slow")
    press(widget, Key.Key_M, Modifier.ShiftModifier)
    QTest.keyClicks(text_field(widget), "other")
    press(text_field(widget), Key.Key_Escape)
    assert [mark.text for mark in widget.marking.marks] == ["slow"]
    assert not text_field(widget).isVisible()


def test_a_mark_is_seen_on_the_axis_and_through_all_lanes(widget):
    before = widget.grab().toImage()
    marked(widget, 500)
    move(widget, QPoint(700, 200))
    widget.leaveEvent(None)
    after = widget.grab().toImage()
    rows = range(widget.lane_layout.header_height, widget.height() - 4, 7)
    x = round(widget.x_of(widget.marking.marks[0].time_ns))
    assert all(before.pixel(x, y) != after.pixel(x, y) for y in rows)


def test_a_click_on_a_flag_goes_to_the_mark_and_delete_removes_it(widget):
    marked(widget, 300)
    marked(widget, 600)
    QTest.mouseClick(widget, Button.LeftButton, Modifier.NoModifier, flag_of(widget, 0))
    assert widget.marking.current == widget.marking.marks[0]
    press(widget, Key.Key_Delete)
    assert len(widget.marking.marks) == 1
    assert widget.x_of(widget.marking.marks[0].time_ns) == pytest.approx(600, abs=1)


def test_a_double_click_on_a_flag_asks_for_its_text(widget):
    marked(widget, 300)
    QTest.mouseDClick(widget, Button.LeftButton, Modifier.NoModifier, flag_of(widget, 0))
    assert text_field(widget).isVisible()


def test_control_and_z_brings_a_removed_mark_back(widget, qtbot):
    marked(widget, 300, "here")
    press(widget, Key.Key_Delete)
    assert not widget.marking.marks
    with qtbot.waitSignal(widget.marking.changed):
        press(widget, Key.Key_Z, Modifier.ControlModifier)
    assert [mark.text for mark in widget.marking.marks] == ["here"]


def test_the_menu_of_a_flag_removes_it(widget):
    marked(widget, 300)
    place = flag_of(widget, 0)
    QApplication.sendEvent(widget, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, widget.mapToGlobal(place)))
    menu = QApplication.activePopupWidget()
    next(action for action in menu.actions() if action.text() == "Remove the mark").trigger()
    menu.close()
    assert not widget.marking.marks


def test_brackets_go_from_mark_to_mark(widget):
    for x in (300, 500, 800):
        marked(widget, x)
    move(widget, QPoint(900, 200))
    marks = widget.marking.marks
    widget.marking.current = marks[0]
    press(widget, Key.Key_BracketRight)
    assert widget.marking.current == marks[1]
    press(widget, Key.Key_BracketLeft)
    assert widget.marking.current == marks[0]


def test_going_to_a_mark_out_of_sight_brings_it_into_view(widget):
    marked(widget, 300, "early")
    for _ in range(5):
        press(widget, Key.Key_W)
    press(widget, Key.Key_End)
    widget.marking.go_to(widget.marking.marks[0])
    low, high = widget.visible_range_ns()
    assert low <= widget.marking.marks[0].time_ns <= high
    assert widget.accessibleDescription() == "mark early"


def test_marks_stand_in_order_of_time_and_once_a_place(widget):
    for x in (800, 300, 800):
        marked(widget, x)
    times = [mark.time_ns for mark in widget.marking.marks]
    assert times == sorted(set(times))
    assert len(times) == 2


def test_another_trial_has_marks_of_its_own(widget, trace):
    marked(widget, 300)
    widget.set_trace(trace, "again")
    assert not widget.marking.marks
    widget.marking.show([Mark(trace.origin_ns + 5, "kept")])
    press(widget, Key.Key_Z, Modifier.ControlModifier)
    assert [mark.text for mark in widget.marking.marks] == ["kept"]
