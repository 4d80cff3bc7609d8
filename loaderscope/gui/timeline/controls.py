"""Keys and wheel of the timeline, as data: the window builds its help from the same table that the widget obeys."""

from __future__ import annotations

import dataclasses

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence

ZOOM_STEP = 0.7
"""Part of the span that is left after one step in."""

PAN_SHARE = 0.15
"""Part of the width that one step pans."""


_Key = Qt.Key


@dataclasses.dataclass(frozen=True)
class Control:
    """An action of the timeline: the method of the widget, its keys, and what help says."""

    method: str
    keys: tuple[Qt.Key, ...]
    words: str

    @property
    def shown_keys(self) -> str:
        """The keys as help shows them."""
        return ", ".join(QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText) for key in self.keys)


CONTROLS = (
    Control("zoom_in", (_Key.Key_W, _Key.Key_Plus, _Key.Key_Equal), "zoom in"),
    Control("zoom_out", (_Key.Key_S, _Key.Key_Minus), "zoom out"),
    Control("pan_left", (_Key.Key_A, _Key.Key_Left), "pan to earlier"),
    Control("pan_right", (_Key.Key_D, _Key.Key_Right), "pan to later"),
    Control("scroll_up", (_Key.Key_Up, _Key.Key_PageUp), "scroll lanes up"),
    Control("scroll_down", (_Key.Key_Down, _Key.Key_PageDown), "scroll lanes down"),
    Control("zoom_to_selection", (_Key.Key_Return, _Key.Key_Enter), "zoom into the measured range"),
    Control("clear_selection", (_Key.Key_Escape,), "clear the measured range and the selected span"),
    Control("focus_span", (_Key.Key_F,), "fit the selected span"),
    Control("fit_all", (_Key.Key_0, _Key.Key_Home), "show the whole trial"),
    Control("go_back", (_Key.Key_Backspace,), "back to the view before"),
    Control("next_span", (_Key.Key_Period,), "next span"),
    Control("previous_span", (_Key.Key_Comma,), "previous span"),
    Control("follow_live", (_Key.Key_End,), "follow the newest data"),
)

MOUSE = (
    ("Ctrl + wheel", "zoom at the cursor"),
    ("wheel", "scroll lanes"),
    ("Shift + wheel, Shift + drag, middle drag", "pan"),
    ("drag", "measure a range"),
    ("double click", "fit a span"),
    ("click", "select a span"),
)


METHODS = {key.value: control.method for control in CONTROLS for key in control.keys}
"""Method by key code; keypad and Shift (for + on most keyboards) make no difference."""

IGNORED_MODIFIERS = Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier
