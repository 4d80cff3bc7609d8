"""The places of rows, of the label column, and of the title, minimap and axis above. No Qt."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from loaderscope.gui.timeline.data.scene import Row

TITLE_PX = 26
MINIMAP_PX = 22
AXIS_PX = 22
EXPOSED_PX = 14
"""Height of the strip of exposed loading time below the minimap, which only trainings have."""
HEADER_PX = TITLE_PX + MINIMAP_PX + AXIS_PX
LABEL_PX = 112
RIGHT_PX = 10
_SECTION_GAP_PX = 9
_SLOT_PX = 4
_TITLE_ROW_PX = 22
_FOLDED_INSET_PX = 6
_MANY_LANES = 12
_MOST_FROZEN = 0.6
"""Pinned rows may take this part of the height; further pinned rows scroll with the rest."""


@dataclasses.dataclass(frozen=True)
class PlacedRow:
    """A row with its place below the header, before scrolling. The bar (or plot) is inside the row.

    Attributes:
        is_frozen: the row does not scroll.
        chevron: `open` or `closed` if the label has a chevron that collapses or expands a group of lanes.
    """

    row: Row
    y: int
    height: int
    bar_y: int
    bar_height: int
    is_frozen: bool = False
    chevron: str = ""

    @property
    def has_two_lines(self) -> bool:
        """Whether the label has room for its second line."""
        return self.height >= 26


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places in logical pixels. The plot area is right of `label_width`; `rows` begin at `header_height`.

    Attributes:
        rules: y of the lines between sections, below the header.
        frozen_height: height of the frozen rows, which are above the others.
        minimap_px, axis_px: heights of minimap, with the strip of exposed loading time where there is one, and axis; 0 for none.
        notice_px: width beside the title that the widget needs for its buttons.
    """

    width: int
    height: int
    rows: tuple[PlacedRow, ...]
    rules: tuple[int, ...]
    content_height: int
    frozen_height: int = 0
    minimap_px: int = MINIMAP_PX
    axis_px: int = AXIS_PX
    notice_px: int = 0
    label_width: int = LABEL_PX

    @functools.cached_property
    def header_height(self) -> int:
        return TITLE_PX + self.minimap_px + self.axis_px

    @functools.cached_property
    def plot_width(self) -> int:
        return max(self.width - self.label_width - RIGHT_PX, 1)

    @property
    def scroll_range(self) -> int:
        """How far the rows can scroll, logical pixels."""
        return max(self.content_height - (self.height - self.header_height), 0)

    @property
    def minimap_y(self) -> int:
        return TITLE_PX

    @property
    def exposed_y(self) -> int | None:
        """Where the strip of exposed loading time is; None without one."""
        return TITLE_PX + MINIMAP_PX if self.minimap_px > MINIMAP_PX else None

    @property
    def axis_y(self) -> int:
        return TITLE_PX + self.minimap_px

    def scrolled(self, scroll_y: int) -> Layout:
        """Returns the places for scrolled rows: frozen rows move by `scroll_y`, so that they stay in place on the screen."""
        if not self.frozen_height or not scroll_y:
            return self
        rows = tuple(
            dataclasses.replace(placed, y=placed.y + scroll_y, bar_y=placed.bar_y + scroll_y) if placed.is_frozen else placed
            for placed in self.rows
        )
        return dataclasses.replace(self, rows=rows, rules=tuple(y + scroll_y if y <= self.frozen_height else y for y in self.rules))

    def visible_rows(self, scroll_y: int) -> list[PlacedRow]:
        """Returns the rows that are visible at least in part."""
        low, high = scroll_y, scroll_y + self.height - self.header_height
        return [placed for placed in self.rows if placed.y + placed.height > low and placed.y < high]

    def is_covered(self, placed: PlacedRow, scroll_y: int) -> bool:
        """Returns whether frozen rows cover at least half of a row."""
        return not placed.is_frozen and placed.y + placed.height / 2 < scroll_y + self.frozen_height

    def row_at(self, y: float, scroll_y: int) -> PlacedRow | None:
        """Returns the row at a height in the widget."""
        below = y - self.header_height + scroll_y
        if y < self.header_height:
            return None
        frozen = y - self.header_height < self.frozen_height
        return next((placed for placed in self.rows if placed.is_frozen == frozen and placed.y <= below < placed.y + placed.height), None)

    def flight_lane_at(self, placed: PlacedRow, y: float, scroll_y: int) -> str | None:
        """Returns the lane of the queue slot at a height in the compact row of batches in flight."""
        slot = int((y - self.header_height + scroll_y - placed.bar_y) // slot_px(placed))
        return placed.row.lanes[slot] if 0 <= slot < len(placed.row.lanes) else None


def slot_px(placed: PlacedRow) -> float:
    """Returns the height of one queue slot of a compact row."""
    return placed.bar_height / max(len(placed.row.lanes), 1)


def place_rows(
    rows: Sequence[Row],
    width: int,
    height: int,
    *,
    pinned: int = 0,
    heights: Mapping[str, int] | None = None,
    dense: bool = False,
    minimap_px: int = MINIMAP_PX,
    axis_px: int = AXIS_PX,
    notice_px: int = 0,
    can_collapse: bool = False,
) -> Layout:
    """Places rows. Plots and lanes grow into the rest of the height, up to a limit.

    Args:
        rows: from top to bottom.
        width: width of the whole timeline.
        height: height of the whole timeline; the rows may need more.
        pinned: how many rows, from the top, do not scroll.
        heights: by the key of a row, the height that the user chose.
        dense: makes lanes low, for little room.
        minimap_px: height of the minimap, 0 for none.
        axis_px: height of the axis, 0 for none.
        notice_px: see `Layout`.
        can_collapse: whether labels get chevrons.
    """
    heights = heights or {}
    free = [row for row in rows if row.key not in heights]
    lanes = [row for row in free if row.kind in ("lane", "group")]
    plots = [row for row in free if row.kind == "plot"]
    lane_px, plot_px = (20, 34) if dense or len(lanes) > _MANY_LANES else (29, 40)
    header_px = TITLE_PX + minimap_px + axis_px
    gaps = [number for number in range(1, len(rows)) if number == pinned or rows[number - 1].section != rows[number].section]
    fixed = len(gaps) * _SECTION_GAP_PX + sum(heights.get(row.key) or _height(row, 0, 0) for row in rows) + 6
    spare = height - header_px - fixed - len(lanes) * lane_px - len(plots) * plot_px
    if spare > 0 and plots:
        grown = min(plot_px + spare // len(plots), 64)
        spare -= (grown - plot_px) * len(plots)
        plot_px = grown
    if spare > 0 and lanes:
        lane_px = min(lane_px + spare // len(lanes), 38)
    chevrons = _chevrons(rows[pinned:]) if can_collapse else {}
    placed: list[PlacedRow] = []
    rules = []
    y = 4
    frozen_height = 0
    for number, row in enumerate(rows):
        if number in gaps:
            rules.append(y + _SECTION_GAP_PX // 2)
            y += _SECTION_GAP_PX
        row_px = heights.get(row.key) or _height(row, lane_px, plot_px)
        inset = (
            _FOLDED_INSET_PX if row.is_folded else {"plot": 4, "flight": 3, "reason": 2, "title": 2}.get(row.kind, 3 if row_px >= 26 else 2)
        )
        frozen = number < pinned and y + row_px + _SECTION_GAP_PX < _MOST_FROZEN * (height - header_px)
        if frozen:
            frozen_height = y + row_px + _SECTION_GAP_PX // 2
        placed.append(PlacedRow(row, y, row_px, y + inset, row_px - 2 * inset, frozen, chevrons.get(row.key, "")))
        y += row_px
    return Layout(width, height, tuple(placed), tuple(rules), y + 2, frozen_height, minimap_px, axis_px, notice_px)


def _chevrons(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the chevron by the key of its row: each title, and the collapsed workers or the first of several that are not pinned."""
    titles = {row.key: "closed" if row.is_folded else "open" for row in rows if row.kind == "title"}
    if groups := {row.key: "closed" for row in rows if row.kind == "group"}:
        return titles | groups
    workers: dict[str, list[str]] = {}  # by loader
    for row in rows:
        if row.kind == "lane" and row.lane_kind == "worker":
            workers.setdefault(row.loader, []).append(row.key)
    return titles | {keys[0]: "open" for keys in workers.values() if len(keys) > 1}


def _height(row: Row, lane_px: int, plot_px: int) -> int:
    if row.kind == "flight":
        slots = len(row.lanes)
        return max(slots * (_SLOT_PX if slots <= 16 else 3 if slots <= 48 else 2), 22) + 6
    return {"lane": lane_px, "group": lane_px, "plot": plot_px, "reason": 24, "title": _TITLE_ROW_PX}[row.kind]
