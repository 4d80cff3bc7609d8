"""Where everything stands: heights of rows, the label column, the strips above. No Qt."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from loaderscope.gui.timeline.scene import Row

TITLE_PX = 26
MINIMAP_PX = 22
AXIS_PX = 22
HEADER_PX = TITLE_PX + MINIMAP_PX + AXIS_PX
LABEL_PX = 112
RIGHT_PX = 10
_SECTION_GAP_PX = 9
_SLOT_PX = 4
_MANY_LANES = 12


@dataclasses.dataclass(frozen=True)
class PlacedRow:
    """A row with its place below the header, before scrolling. The bar (or plot) stands inside the row."""

    row: Row
    y: int
    height: int
    bar_y: int
    bar_height: int

    @property
    def two_lines(self) -> bool:
        """Whether the label has room for its second line."""
        return self.height >= 26


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places in logical pixels. The plot area is right of `label_width`; `rows` begin at `header_height`."""

    width: int
    height: int
    rows: tuple[PlacedRow, ...]
    rules: tuple[int, ...]  # y of the lines between sections, below the header
    content_height: int
    label_width: int = LABEL_PX
    header_height: int = HEADER_PX

    @property
    def plot_width(self) -> int:
        return max(self.width - self.label_width - RIGHT_PX, 1)

    @property
    def scroll_range(self) -> int:
        """How far the rows can be scrolled."""
        return max(self.content_height - (self.height - self.header_height), 0)

    @property
    def minimap_y(self) -> int:
        return TITLE_PX

    @property
    def axis_y(self) -> int:
        return TITLE_PX + MINIMAP_PX

    def row_at(self, y: float, scroll_y: int) -> PlacedRow | None:
        """The row under a place in the widget."""
        below = y - self.header_height + scroll_y
        if y < self.header_height:
            return None
        return next((placed for placed in self.rows if placed.y <= below < placed.y + placed.height), None)

    def flight_lane_at(self, placed: PlacedRow, y: float, scroll_y: int) -> str | None:
        """The queue slot under a place in the compact row of batches in flight."""
        slot = int((y - self.header_height + scroll_y - placed.bar_y) // slot_px(placed))
        return placed.row.lanes[slot] if 0 <= slot < len(placed.row.lanes) else None


def slot_px(placed: PlacedRow) -> float:
    """Height of one queue slot of a compact row."""
    return placed.bar_height / max(len(placed.row.lanes), 1)


def place(rows: Sequence[Row], width: int, height: int) -> Layout:
    """Lays rows out; what is left of the height makes plots and lanes taller, up to a point."""
    lanes = [row for row in rows if row.kind == "lane"]
    plots = [row for row in rows if row.kind == "plot"]
    lane_px, plot_px = (20, 34) if len(lanes) > _MANY_LANES else (29, 40)
    gaps = sum(1 for before, after in itertools.pairwise(rows) if before.section != after.section)
    fixed = gaps * _SECTION_GAP_PX + sum(_height(row, 0, 0) for row in rows) + 6
    spare = height - HEADER_PX - fixed - len(lanes) * lane_px - len(plots) * plot_px
    if spare > 0 and plots:
        grown = min(plot_px + spare // len(plots), 64)
        spare -= (grown - plot_px) * len(plots)
        plot_px = grown
    if spare > 0 and lanes:
        lane_px = min(lane_px + spare // len(lanes), 38)
    placed = []
    rules = []
    y = 4
    for number, row in enumerate(rows):
        if number and rows[number - 1].section != row.section:
            rules.append(y + _SECTION_GAP_PX // 2)
            y += _SECTION_GAP_PX
        row_px = _height(row, lane_px, plot_px)
        inset = {"lane": 3 if row_px >= 26 else 2, "plot": 4, "flight": 3, "reason": 2}[row.kind]
        placed.append(PlacedRow(row, y, row_px, y + inset, row_px - 2 * inset))
        y += row_px
    return Layout(width, height, tuple(placed), tuple(rules), y + 2)


def _height(row: Row, lane_px: int, plot_px: int) -> int:
    if row.kind == "flight":
        slots = len(row.lanes)
        return max(slots * (_SLOT_PX if slots <= 16 else 3 if slots <= 48 else 2), 22) + 6
    return {"lane": lane_px, "plot": plot_px, "reason": 24}[row.kind]
