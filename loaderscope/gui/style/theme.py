"""The look of the whole window: Fusion style, a palette by roles and a small style sheet.

A widget chooses a variant by a dynamic property, so that no panel defines colours of its own:

* `QPushButton` or `QToolButton` with property `primary`: the main action of a panel
* a checkable one with property `chip`: one value of a choice
* `QLabel` with property `role` = `heading`, `muted`, `error`, `warning` or `good`
* `QFrame` with property `card`: a quiet box around data
"""

from __future__ import annotations

import string

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QWidget

from loaderscope.gui.style.palette import DARK, LIGHT, PALETTES, Palette, contrast, luminance, text_on
from loaderscope.resource_files import resource_folder

__all__ = ["DARK", "LIGHT", "PALETTES", "Palette", "apply_theme", "contrast", "current_palette", "luminance", "set_variant", "text_on"]

_STYLE = string.Template("""
QToolTip { background: $card; color: $text; border: 1px solid $border; padding: 4px 6px; }
QMainWindow::separator { background: $border; width: 1px; height: 1px; }
QMainWindow::separator:hover { background: $accent; }
QSplitter::handle { background: $border; }
QSplitter::handle:horizontal { width: 1px; } QSplitter::handle:vertical { height: 1px; }
QToolBar { background: $window; border: 0; border-bottom: 1px solid $border; spacing: 6px; padding: 4px 8px; }
QToolBar::separator { background: $border; width: 1px; margin: 3px 4px; }
QStatusBar { background: $window; border-top: 1px solid $border; color: $muted; }
QStatusBar::item { border: 0; }
QMenuBar { background: $window; } QMenuBar::item { padding: 4px 9px; background: transparent; }
QMenuBar::item:selected { background: $hover; }
QMenu { background: $card; border: 1px solid $border; padding: 4px; }
QMenu::item { padding: 4px 24px 4px 10px; border-radius: 3px; }
QMenu::item:selected { background: $accent; color: $accent_text; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $border; margin: 4px 6px; }
QDockWidget { color: $muted; }
QDockWidget::title { background: $window; padding: 6px 8px; border-bottom: 1px solid $border; text-align: left; }

QPushButton, QToolButton { background: $raised; color: $text; border: 1px solid $border; border-radius: 3px; padding: 4px 10px; }
QPushButton:hover, QToolButton:hover { background: $hover; }
QPushButton:pressed, QToolButton:pressed { background: $border; }
QPushButton:focus, QToolButton:focus { border-color: $accent; }
QPushButton:checked, QToolButton:checked { border-color: $accent; color: $accent; }
QPushButton:disabled, QToolButton:disabled { color: $muted; background: $window; }
QFileDialog QToolButton { padding: 2px; }
QToolBar QToolButton { min-height: 16px; padding: 3px 10px; }
QPushButton[primary="true"], QToolButton[primary="true"] {
  background: $accent; color: $accent_text; border-color: $accent; font-weight: 600; }
QPushButton[primary="true"]:hover, QToolButton[primary="true"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[primary="true"]:focus { border: 2px solid $text; padding: 3px 9px; }
QPushButton[primary="true"]:disabled, QToolButton[primary="true"]:disabled {
  background: $raised; color: $muted; border-color: $border; }
QPushButton[chip="true"], QToolButton[chip="true"] {
  background: $window; color: $text; border-radius: 9px; padding: 1px 8px; min-height: 16px; }
QPushButton[chip="true"]:hover, QToolButton[chip="true"]:hover { border-color: $muted; color: $text; }
QPushButton[chip="true"]:checked, QToolButton[chip="true"]:checked {
  background: $accent; color: $accent_text; border-color: $accent; }
QPushButton[chip="true"]:focus, QToolButton[chip="true"]:focus { border-color: $text; }
QPushButton[chip="true"]:disabled, QToolButton[chip="true"]:disabled { color: $border; background: $window; border-color: $border; }

QLineEdit, QPlainTextEdit, QTextEdit, QTextBrowser {
  background: $base; color: $text; border: 1px solid $border; border-radius: 3px; padding: 3px 6px;
  selection-background-color: $accent; selection-color: $accent_text; }
QPlainTextEdit, QTextEdit, QTextBrowser { padding: 2px; }
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QTextBrowser:focus { border-color: $accent; }
QLineEdit:disabled { color: $muted; background: $window; }
QCheckBox::indicator:unchecked { border: 1px solid $muted; border-radius: 2px; background: $base; width: 11px; height: 11px; }
QRadioButton::indicator { border: 1px solid $muted; border-radius: 6px; background: $base; width: 11px; height: 11px; }
QRadioButton::indicator:checked { border: 4px solid $accent; border-radius: 6px; width: 5px; height: 5px; }
QRadioButton:focus { color: $accent; }
QComboBox, QAbstractSpinBox {
  background: $raised; color: $text; border: 1px solid $border; border-radius: 3px; padding: 1px 6px; min-height: 19px;
  selection-background-color: $accent; selection-color: $accent_text; }
QAbstractSpinBox { background: $base; }
QComboBox:hover { background: $hover; }
QComboBox:focus, QAbstractSpinBox:focus { border-color: $accent; }
QComboBox:disabled, QAbstractSpinBox:disabled { color: $muted; background: $window; }
QComboBox::drop-down { border: 0; width: 20px; }
QComboBox::down-arrow { image: url($icons/down.svg); width: 10px; height: 10px; }
QComboBox QAbstractItemView { background: $card; border: 1px solid $border; padding: 2px; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { background: transparent; border: 0; width: 16px; }
QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover { background: $hover; }
QAbstractSpinBox::up-arrow { image: url($icons/up.svg); width: 8px; height: 8px; }
QAbstractSpinBox::down-arrow { image: url($icons/down.svg); width: 8px; height: 8px; }
QAbstractSpinBox::up-arrow:off, QAbstractSpinBox::down-arrow:off { image: none; }

QLabel[role="heading"] { color: $muted; font-weight: 700; font-size: 11px; letter-spacing: 1px; }
QLabel[role="muted"] { color: $muted; } QLabel[role="error"] { color: $error; }
QLabel[role="warning"] { color: $warning; } QLabel[role="good"] { color: $good; }
QFrame[card="true"] { background: $base; border: 1px solid $border; border-radius: 4px; }
QScrollArea { border: 0; background: transparent; }

QAbstractItemView {
  background: $base; alternate-background-color: $alternate; color: $text; border: 0; gridline-color: $grid; outline: 0;
  selection-background-color: $accent; selection-color: $accent_text; }
QTableView::item { padding: 2px 4px; } QTreeView::item, QListView::item { padding: 2px 6px; }
QHeaderView { background: $window; }
QHeaderView::section {
  background: $window; color: $text; border: 0; border-right: 1px solid $border; border-bottom: 1px solid $border;
  padding: 4px 6px; font-weight: 600; }
QHeaderView::up-arrow, QHeaderView::down-arrow { subcontrol-position: top center; width: 8px; height: 8px; }
QHeaderView::up-arrow { image: url($icons/up.svg); }
QHeaderView::down-arrow { image: url($icons/down.svg); }
QTableCornerButton::section { background: $window; border: 0; }
QTabWidget::pane { border: 0; border-top: 1px solid $border; }
QTabBar::tab {
  background: transparent; color: $muted; padding: 6px 12px; border: 0; border-bottom: 2px solid transparent; }
QTabBar::tab:selected { color: $text; border-bottom-color: $accent; }
QTabBar::tab:hover { color: $text; }
QTabBar::tab:focus { color: $accent; }
QProgressBar {
  background: $base; border: 1px solid $border; border-radius: 3px; text-align: center; color: $text; min-height: 14px; }
QProgressBar::chunk { background: $accent_pale; border-radius: 2px; }
QScrollBar:vertical { background: transparent; width: 11px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 11px; margin: 0; }
QScrollBar::handle { background: $border; border-radius: 3px; margin: 2px; }
QScrollBar::handle:vertical { min-height: 24px; } QScrollBar::handle:horizontal { min-width: 24px; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
""")

_current = LIGHT


def apply_theme(app: QApplication, name: str) -> Palette:
    """Sets style, palette and style sheet of the whole application.

    Args:
        app: the application.
        name: `light` or `dark`.

    Returns:
        The palette, for widgets that paint themselves.

    Raises:
        KeyError: there is no such theme.
    """
    global _current
    palette = PALETTES[name]
    _current = palette
    app.setStyle("Fusion")
    app.setPalette(qt_palette(palette))
    app.setStyleSheet(style_sheet(palette))
    return palette


def current_palette() -> Palette:
    """Returns the palette that was applied last."""
    return _current


def qt_palette(palette: Palette) -> QPalette:
    """Returns Qt's palette with our colours."""
    role = QPalette.ColorRole
    colours = {
        role.Window: palette.window,
        role.WindowText: palette.text,
        role.Base: palette.base,
        role.AlternateBase: _mix(palette.base, palette.window, 0.6),
        role.Text: palette.text,
        role.PlaceholderText: palette.muted,
        role.Button: palette.raised,
        role.ButtonText: palette.text,
        role.BrightText: palette.error,
        role.Highlight: palette.accent,
        role.HighlightedText: palette.accent_text,
        role.ToolTipBase: palette.card,
        role.ToolTipText: palette.text,
        role.Link: palette.accent,
        role.LinkVisited: palette.accent,
        role.Light: palette.hover,
        role.Midlight: palette.hover,
        role.Mid: palette.border,
        role.Dark: palette.border,
        role.Shadow: palette.border,
    }
    result = QPalette()
    for key, value in colours.items():
        result.setColor(key, QColor(value))
    for key in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
        result.setColor(QPalette.ColorGroup.Disabled, key, QColor(palette.muted))
    result.setColor(QPalette.ColorGroup.Disabled, role.Highlight, QColor(palette.border))
    return result


def style_sheet(palette: Palette) -> str:
    """Returns the style sheet for a palette."""
    roles = {key: value for key, value in vars(palette).items() if isinstance(value, str)}
    icons = resource_folder() / "icons"
    return _STYLE.substitute(
        roles,
        icons=icons.as_posix(),
        alternate=_mix(palette.base, palette.window, 0.6),
        accent_hover=_mix(palette.accent, palette.text, 0.15),
        accent_pale=_mix(palette.base, palette.accent, 0.5),  # text lies on it
    )


def set_variant(widget: QWidget, name: str, value: object = True) -> None:
    """Sets a dynamic property that the style sheet selects by, and restyles the widget at once."""
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def _mix(first: str, second: str, share: float) -> str:
    """Returns the first colour with a share, 0 to 1, of the second mixed in."""
    channels = [
        round(int(first[position : position + 2], 16) * (1 - share) + int(second[position : position + 2], 16) * share)
        for position in (1, 3, 5)
    ]
    return "#" + "".join(f"{channel:02x}" for channel in channels)
