"""Columns of a table that share its width."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QHeaderView


class FairColumns(QObject):
    """Makes the columns of a header equally wide, but none narrower than its title. It lives as long as the header."""

    def __init__(self, header: QHeaderView) -> None:
        super().__init__(header)
        self._header = header
        self._is_sharing = False
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.viewport().installEventFilter(self)
        header.sectionCountChanged.connect(lambda _old, _new: self._share())
        header.sectionResized.connect(self._resized)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, QEvent.Type.StyleChange):
            self._share()
        return super().eventFilter(watched, event)

    def _resized(self, section: int, _old_px: int, new_px: int) -> None:
        """Tells of columns that are shown, and that are about to be hidden, too."""
        self._share(leave_out=section if not new_px else None)

    def _share(self, leave_out: int | None = None) -> None:
        if self._is_sharing:
            return
        self._is_sharing = True
        header = self._header
        shown = [section for section in range(header.count()) if section != leave_out and not header.isSectionHidden(section)]
        least_px = {section: max(header.sectionSizeHint(section), header.minimumSectionSize()) for section in shown}
        left_px = header.viewport().width()
        for taken, section in enumerate(sorted(shown, key=least_px.__getitem__, reverse=True)):
            width_px = max(left_px // (len(shown) - taken), least_px[section])
            header.resizeSection(section, width_px)
            left_px -= width_px
        self._is_sharing = False
