"""The help page: all keys, and the meaning of colours and words."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QTextBrowser, QVBoxLayout, QWidget

from loaderscope.facts.lanes import LEGEND, OPTIMIZER_STEP, LegendEntry
from loaderscope.facts.measures import THROUGHPUT_INTERVAL
from loaderscope.gui.charts.chart import CONTROLS as CHART_CONTROLS
from loaderscope.gui.style.palette import Palette
from loaderscope.gui.style.theme import current_palette
from loaderscope.gui.style.words import EXPOSED_TIP
from loaderscope.gui.timeline.widget.timeline_keys import CONTROLS, MOUSE
from loaderscope.gui.window.command_table import COMMANDS

WORDS = (
    ("wait share", "part of the steady state in which the main process waits for a batch; the smaller, the better"),
    ("exposed loading time", EXPOSED_TIP),
    ("prefetch factor", "batches that each worker may have ready or in work ahead of the main process"),
    ("PSS", "memory of a process with shared pages counted by share, so that processes can be added up"),
    ("USS", "memory that belongs to one process alone: what ending it would free"),
    (
        THROUGHPUT_INTERVAL.title,
        "half of the interval that holds the true throughput with 95 % probability, as a share of the throughput",
    ),
    ("steady state", "without start-up, the first prefetch window and the drain at the end of an epoch"),
)


class HelpOverlay(QDialog):
    """A window with the help page; Esc, F1 or ? closes it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys and help")
        self.setModal(False)
        self.view = QTextBrowser()
        self.view.setAccessibleName("Keys and help")
        self.view.setFrameShape(QTextBrowser.Shape.NoFrame)
        self.view.document().setDocumentMargin(16)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self.resize(760, 640)

    def toggle(self) -> None:
        """Shows the page, or closes it."""
        if self.isVisible():
            self.close()
            return
        self.view.setHtml(help_html(current_palette()))
        self.show()
        self.raise_()

    def keyPressEvent(self, event: object) -> None:
        if event.key() in (Qt.Key.Key_Question, Qt.Key.Key_F1):  # type: ignore[attr-defined]
            self.close()
        else:
            super().keyPressEvent(event)  # type: ignore[arg-type]


def _meaning(entry: LegendEntry) -> str:
    return f"{entry.title}{' (hatched)' if entry.is_hatched else ''}: {entry.tip}"


def help_html(palette: Palette) -> str:
    """Returns the help page, with its colours from a palette."""

    def table(rows: list[tuple[str, str]]) -> str:
        cells = "".join(
            f'<tr><td style="padding:2px 18px 2px 0">{left}</td><td style="padding:2px 0">{right}</td></tr>' for left, right in rows
        )
        return f"<table>{cells}</table>"

    def key(text: str) -> str:
        return f"<b>{html.escape(text)}</b>"

    native = QKeySequence.SequenceFormat.NativeText
    commands = [
        (
            " &nbsp; ".join(key(QKeySequence(keys).toString(native)) for keys in command.keys),
            html.escape(f"{command.text.rstrip('…')}: {command.tip}"),
        )
        for command in COMMANDS
        if command.keys
    ]
    colours = [
        (f'<span style="color:{palette.role(entry.lines_role or entry.role)}">&#9632;&#9632;</span>', html.escape(_meaning(entry)))
        for entry in (*LEGEND, OPTIMIZER_STEP)
    ]
    return (
        "<h3>Timeline</h3>"
        + table(
            [(key(control.shown_keys), html.escape(control.words)) for control in CONTROLS]
            + [(key(action), html.escape(text)) for action, text in MOUSE]
        )
        + "<h3>Charts</h3>"
        + table([(key(action), html.escape(text)) for action, text in CHART_CONTROLS])
        + "<h3>Colours</h3>"
        + table(colours)
        + "<h3>Words</h3>"
        + table([(key(word), html.escape(text)) for word, text in WORDS])
        + "<h3>Commands</h3>"
        + table(commands)
    )
