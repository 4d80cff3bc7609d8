"""The palettes: readable, told apart by the colour-blind, and applied to the whole application."""

import itertools

import pytest
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QApplication, QPushButton

from loaderscope.gui.palette import DARK, LIGHT, contrast, luminance, text_on
from loaderscope.gui.theme import apply_theme, current_palette, set_variant, style_sheet

BOTH = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda palette: palette.name)
NEIGHBOURS = (
    ("fetch", "collate"),
    ("fetch", "send"),
    ("collate", "send"),
    ("step", "transfer"),
    ("step", "waiting"),
    ("ready", "waiting_for_earlier"),
)


def deuteranopia(colour):
    """What a person without green cones sees (Vienot, Brettel and Mollon, 1999), as linear RGB."""
    red, green, blue = (((int(colour[i : i + 2], 16) / 255) ** 2.2) for i in (1, 3, 5))
    mixed = 0.29275 * red + 0.70725 * green
    return mixed, mixed, -0.02234 * red + 0.02234 * green + blue


@BOTH
def test_text_is_readable(palette):
    for ground in (palette.window, palette.base, palette.raised, palette.card):
        assert contrast(palette.text, ground) >= 7
        assert contrast(palette.muted, ground) >= 4.4
    assert contrast(palette.accent_text, palette.accent) >= 4.5
    assert contrast(palette.error, palette.base) >= 4.5


@BOTH
def test_names_in_spans_are_readable(palette):
    for role in ("fetch", "collate", "send", "step", "transfer", "startup", "startup_dark", "startup_light", "ready", "pin"):
        assert contrast(text_on(palette.role(role)), palette.role(role)) >= 3


@BOTH
def test_states_that_touch_differ_without_green_cones(palette):
    for first, second in NEIGHBOURS:
        one, other = deuteranopia(palette.role(first)), deuteranopia(palette.role(second))
        assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.09, (first, second)


@BOTH
def test_no_two_states_share_a_colour(palette):
    roles = ("fetch", "collate", "send", "step", "transfer", "waiting", "startup", "ready", "waiting_for_earlier", "pin", "error")
    for first, second in itertools.combinations(roles, 2):
        assert palette.role(first) != palette.role(second)


def test_the_ground_is_dark_in_dark_and_light_in_light():
    assert luminance(DARK.base) < 0.02
    assert luminance(LIGHT.base) > 0.9


def test_a_theme_reaches_every_widget(qtbot, qapp):
    button = QPushButton("Start")
    qtbot.addWidget(button)
    for name, palette in (("light", LIGHT), ("dark", DARK)):
        assert apply_theme(QApplication.instance(), name) is palette
        assert current_palette() is palette
        button.ensurePolished()  # a style sheet takes effect when a widget is polished
        assert button.palette().color(QPalette.ColorRole.ButtonText).name() == palette.text
    set_variant(button, "primary")
    button.resize(80, 30)
    assert button.grab().toImage().pixelColor(8, 15).name() == DARK.accent


@BOTH
def test_the_style_sheet_has_no_place_left_open(palette):
    assert "$" not in style_sheet(palette)


def test_an_unknown_theme_is_an_error(qapp):
    with pytest.raises(KeyError):
        apply_theme(qapp, "sepia")
