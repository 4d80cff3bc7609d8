"""Section headings of the side panel."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel


def heading(text: str) -> QLabel:
    """A small spaced heading in capitals."""
    label = QLabel(text.upper())
    label.setAccessibleName(text)
    label.setProperty("role", "heading")
    return label
