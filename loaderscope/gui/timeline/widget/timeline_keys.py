"""Keys and mouse of the timeline, as tables: the widget, help and the command palette use the same ones."""

from __future__ import annotations

import dataclasses

from PySide6.QtCore import QKeyCombination, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence

ZOOM_STEP = 0.7
"""Part of the visible range that remains after zooming in by one step."""

PAN_SHARE = 0.15
"""Part of the width that one step pans."""

Key = Qt.Key | QKeyCombination

_Key = Qt.Key
_SHIFT, _CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


@dataclasses.dataclass(frozen=True)
class Control:
    """An action of the timeline: the dotted name of the widget's method, its keys, and its text in help."""

    method: str
    keys: tuple[Key, ...]
    words: str

    @property
    def key_names(self) -> tuple[str, ...]:
        """The keys as portable texts."""
        return tuple(QKeySequence(key).toString() for key in self.keys)

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
    Control("go_forward", (QKeyCombination(_SHIFT, _Key.Key_Backspace),), "forward to the view that was left by going back"),
    Control("next_span", (_Key.Key_Period,), "next span"),
    Control("previous_span", (_Key.Key_Comma,), "previous span"),
    Control("follow_live", (_Key.Key_End,), "follow the newest data"),
    Control("search_bar.next_hit", (_Key.Key_F3,), "next span that was searched for"),
    Control("search_bar.previous_hit", (QKeyCombination(_SHIFT, _Key.Key_F3),), "previous span that was searched for"),
    Control("marking.put", (_Key.Key_M,), "set a mark at the crosshair"),
    Control("marking.write", (QKeyCombination(_SHIFT, _Key.Key_M),), "set a mark with a text, or change the text of the one that is there"),
    Control("marking.next_mark", (_Key.Key_BracketRight,), "next mark"),
    Control("marking.previous_mark", (_Key.Key_BracketLeft,), "previous mark"),
    Control("marking.remove", (_Key.Key_Delete,), "remove the mark that was gone to, or that is at the crosshair"),
    Control("steps.undo", (QKeyCombination(_CONTROL, _Key.Key_Z),), "take back what was last done to marks or lanes"),
)


def _combined(key: Key) -> int:
    return key.toCombined() if isinstance(key, QKeyCombination) else key.value


MOUSE = (
    ("Ctrl + wheel, pinch", "zoom at the cursor"),
    ("wheel, two fingers", "scroll lanes, pan"),
    ("Shift + wheel, Shift + drag, middle drag", "pan"),
    ("drag", "measure a range; drag an edge of it to change it"),
    ("double click", "fit a span; on nothing: show the whole trial"),
    ("click", "select a span, go to a mark"),
    ("right click", "marks, figure"),
    ("click the title of a loader", "fold its lanes into one, or unfold them"),
    ("right click on a label, Shift+F10", "pin, hide, collapse or resize a lane"),
    ("drag a label, or its lower edge", "move a lane, make it taller or shorter"),
)


METHODS = {_combined(key): control.method for control in CONTROLS for key in control.keys}
"""Method by key and modifiers."""


def method_of(event: QKeyEvent) -> str | None:
    """Returns the method for a key; None if it has none.

    With Shift, a key without an entry of its own does the same as without Shift. The keypad counts as the main keys.
    """
    key = Qt.Key(event.key())
    modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    for tried in (modifiers, modifiers & ~_SHIFT):
        method = METHODS.get(QKeyCombination(tried, key).toCombined())
        if method is not None:
            return method
    return None
