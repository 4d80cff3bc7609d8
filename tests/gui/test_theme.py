"""The palettes: readable, told apart by the colour-blind, and applied to the whole application."""

import itertools

import pytest
import seeing
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QApplication, QPushButton

from loaderscope.gui.style.palette import DARK, LIGHT, contrast, luminance, text_on
from loaderscope.gui.style.theme import apply_theme, current_palette, set_variant, style_sheet
from loaderscope.gui.timeline.data.state_styles import STYLES

BOTH = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda palette: palette.name)
LEAST_APART = 8.0
"""Of two colours that stand side by side, CIEDE2000; about 2 can just be seen where they touch."""

SIDE_BY_SIDE = (
    ("startup_dark", "startup", "startup_light", "fetch", "collate", "send"),  # a worker
    ("step", "transfer", "send", "startup_dark", "startup", "fetch", "collate"),  # main, with 0 workers too
    ("ready", "waiting_for_earlier"),  # batches in flight
    ("pin", "fetch"),  # phases of a start
    ("pin", "startup_light"),
    ("pin", "startup_dark"),
)


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


@pytest.mark.parametrize("eyes", seeing.MATRICES)
@BOTH
def test_states_that_stand_side_by_side_are_told_apart(palette, eyes):
    for roles in SIDE_BY_SIDE:
        for first, second in itertools.combinations(roles, 2):
            apart = seeing.delta_e(seeing.seen(palette.role(first), eyes), seeing.seen(palette.role(second), eyes))
            assert apart >= LEAST_APART, (first, second)


@pytest.mark.parametrize("eyes", seeing.MATRICES)
@BOTH
def test_lines_of_a_plot_are_told_apart(palette, eyes):
    for first, second in itertools.combinations(palette.lines, 2):
        assert seeing.delta_e(seeing.seen(first, eyes), seeing.seen(second, eyes)) >= LEAST_APART, (first, second)


@pytest.mark.parametrize("eyes", seeing.MATRICES)
@BOTH
def test_every_state_stands_out_from_the_ground(palette, eyes):
    """What waits is hatched instead."""
    roles = {role for roles in SIDE_BY_SIDE for role in roles} | {"own"}
    for role in roles:
        assert seeing.delta_e(seeing.seen(palette.role(role), eyes), seeing.seen(palette.base, eyes)) >= 2 * LEAST_APART, role
    assert all(STYLES[state].is_hatched for state in STYLES if STYLES[state].role == "waiting")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ],
)
def test_distances_are_those_of_the_published_pairs(first, second, expected):
    assert seeing.delta_e(first, second) == pytest.approx(expected, abs=5e-5)


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
