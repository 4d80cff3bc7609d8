"""What tests do to a timeline: real key, mouse and wheel events, and where its spans are."""

from PySide6.QtCore import QKeyCombination, QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

WIDTH, HEIGHT = 1000, 480
UP, NO_PIXELS = QPoint(0, 120), QPoint()
Key, Button, Modifier = Qt.Key, Qt.MouseButton, Qt.KeyboardModifier


def press(widget, key, modifier=Modifier.NoModifier):
    if isinstance(key, QKeyCombination):
        key, modifier = key.key(), key.keyboardModifiers()
    QTest.keyClick(widget, key, modifier)


def wheel(widget, place, angle=UP, modifier=Modifier.NoModifier, pixels=NO_PIXELS):
    where = QPointF(place)
    event = QWheelEvent(where, widget.mapToGlobal(where), pixels, angle, Button.NoButton, modifier, Qt.ScrollPhase.NoScrollPhase, False)
    QApplication.sendEvent(widget, event)


def drag(widget, begin, end, button=Button.LeftButton, modifier=Modifier.NoModifier):
    QTest.mousePress(widget, button, modifier, begin)
    middle = QPoint((begin.x() + end.x()) // 2, end.y())
    for place in (middle, end):
        move(widget, place)
    QTest.mouseRelease(widget, button, modifier, end)


def move(widget, place):
    QTest.mouseMove(widget, place + QPoint(0, 1))  # to where the mouse is already, as another test may have left it, it does not move
    QTest.mouseMove(widget, place)


def place_of(widget, lane, state, number=0):
    """The middle of a lane's span of a state, in widget pixels, and the span's times."""
    placed = next(one for one in widget.lane_layout.rows if lane in one.row.lanes)
    index = next(index for index in widget.scene.tracks(lane) if state in index.states)
    row = int(index.rows_of(state)[number])
    middle = (int(index.start_ns[row]) + int(index.end_ns[row])) / 2 - widget.scene.origin_ns
    x = widget.lane_layout.label_width + widget.viewport.x_of(middle, widget.lane_layout.plot_width)
    y = widget.lane_layout.header_height + placed.bar_y + placed.bar_height // 3
    return QPoint(round(x), y), int(index.start_ns[row]), int(index.end_ns[row])
