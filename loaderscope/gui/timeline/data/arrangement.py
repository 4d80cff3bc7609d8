"""How the user arranged the rows: which are pinned, hidden or collapsed, their order and their heights. No Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from loaderscope.facts.lanes import GROUP_KEYS
from loaderscope.gui.timeline.data.scene import Row, loading_lanes

LEAST_ROW_PX, MOST_ROW_PX = 14, 240
"""Limits for the height of a row that the user chooses."""

HEIGHT_STEP = 1.25
"""Factor by which one step makes a row taller."""

MANY_WORKERS = 16
"""With more workers than this, the timeline offers to show them as one row."""


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """What the user chose. Keys stand for rows, so a choice holds for every trial that has such a row.

    Attributes:
        pinned: rows that stay at the top while the rest scrolls.
        hidden: rows that are not shown.
        extra: optional rows that are shown.
        collapsed: kinds of lanes that are shown as one row.
        order: rows that the user dragged, in their order; each other row follows the row that it follows by default.
        heights: logical pixels by `height_key`.
        folded: loaders, by title, whose rows are folded into their title.
        unfolded: loaders that are not folded even if they idle.
    """

    pinned: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    extra: frozenset[str] = frozenset()
    collapsed: frozenset[str] = frozenset()
    order: tuple[str, ...] = ()
    heights: Mapping[str, Annotated[int, msgspec.Meta(ge=LEAST_ROW_PX, le=MOST_ROW_PX)]] = dataclasses.field(default_factory=dict)
    folded: frozenset[str] = frozenset()
    unfolded: frozenset[str] = frozenset()

    def fold(self, loader_title: str, folded: bool = True) -> Arrangement:
        """Folds the rows of a loader into its title, or keeps them unfolded."""
        return dataclasses.replace(
            self,
            folded=_added_or_removed(self.folded, [loader_title], folded),
            unfolded=_added_or_removed(self.unfolded, [loader_title], not folded),
        )

    def pin(self, key: str, pinned: bool = True) -> Arrangement:
        return dataclasses.replace(self, pinned=_added_or_removed(self.pinned, [key], pinned))

    def hide(self, keys: Iterable[str]) -> Arrangement:
        """Hides rows. An optional row is then merely not shown, as before the user asked for it."""
        keys = frozenset(keys)
        return dataclasses.replace(self, hidden=_added_or_removed(self.hidden, keys - self.extra, True), extra=self.extra - keys)

    def show(self, keys: Iterable[str]) -> Arrangement:
        return dataclasses.replace(self, hidden=_added_or_removed(self.hidden, keys, False))

    def show_extra(self, key: str, shown: bool = True) -> Arrangement:
        """Shows an optional row, or stops showing it."""
        return dataclasses.replace(self, extra=_added_or_removed(self.extra, [key], shown), hidden=self.hidden - {key})

    def collapse(self, kind: str, collapsed: bool = True) -> Arrangement:
        return dataclasses.replace(self, collapsed=_added_or_removed(self.collapsed, [kind], collapsed))

    def with_height(self, row: Row, height_px: float | None) -> Arrangement:
        """Gives a row another height; None gives it its default height."""
        heights = {key: value for key, value in self.heights.items() if key != height_key(row)}
        if height_px is not None:
            heights[height_key(row)] = min(max(round(height_px), LEAST_ROW_PX), MOST_ROW_PX)
        return dataclasses.replace(self, heights=heights)

    def move(self, rows: Sequence[Row], key: str, before: str | None) -> Arrangement:
        """Moves a row before another row, or to the end.

        Args:
            rows: all rows of the scene.
            key: the row to move.
            before: the row that then follows it; None for the end.
        """
        keys = [row.key for row in _order_rows(_collapse_rows(rows, self), self.order) if row.key != key]
        keys.insert(keys.index(before) if before in keys else len(keys), key)
        return dataclasses.replace(self, order=(*keys, *(old for old in self.order if old not in keys)))

    def to_text(self) -> str:
        """Returns the arrangement as JSON for the settings file."""
        return msgspec.json.encode(self, order="deterministic").decode("utf-8")

    @classmethod
    def from_text(cls, text: str) -> Arrangement:
        """Returns the arrangement that `to_text` wrote; the default one if the text cannot be read."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError:
            return cls()


@dataclasses.dataclass(frozen=True)
class Arranged:
    """The rows of a scene as the timeline shows them.

    Attributes:
        rows: from top to bottom.
        pinned_count: how many rows, from the top, are pinned.
        hidden: rows that the user hid.
        heights: logical pixels by the key of the row, where the user chose one.
    """

    rows: tuple[Row, ...] = ()
    pinned_count: int = 0
    hidden: tuple[Row, ...] = ()
    heights: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def hidden_text(self) -> str:
        """Says how many lanes are hidden; "" if none is."""
        count = len(self.hidden)
        return f"{count} lane{'' if count == 1 else 's'} hidden" if count else ""


def arrange(rows: Sequence[Row], arrangement: Arrangement, idle: Collection[str] = ()) -> Arranged:
    """Arranges the rows of a scene as the user chose.

    Args:
        rows: of the scene.
        arrangement: what the user chose.
        idle: the prefixes of loaders that are folded, unless the user wants to see them.
    """
    rows = [row for row in rows if not row.is_optional or row.key in arrangement.extra]
    rows = _fold_rows(rows, arrangement, idle)
    ordered = _order_rows(_collapse_rows(rows, arrangement), arrangement.order)
    shown = [row for row in ordered if row.key not in arrangement.hidden]
    pinned = [row for row in shown if row.key in arrangement.pinned]
    rest = [row for row in shown if row.key not in arrangement.pinned]
    heights = {row.key: arrangement.heights[height_key(row)] for row in shown if height_key(row) in arrangement.heights}
    hidden = tuple(row for row in ordered if row.key in arrangement.hidden)
    return Arranged((*pinned, *rest), len(pinned), hidden, heights)


def height_key(row: Row) -> str:
    """Returns the key under which a row's height is kept. Lanes that the user can collapse into one share a key."""
    return f"{row.lane_kind} lane" if row.kind == "lane" and row.lane_kind in GROUP_KEYS else row.key


def lanes_of_kind(rows: Sequence[Row], kind: str) -> list[Row]:
    """Returns the lanes of a kind."""
    return [row for row in rows if row.kind == "lane" and row.lane_kind == kind]


def _added_or_removed(keys: frozenset[str], changed: Iterable[str], is_added: bool) -> frozenset[str]:
    return keys.union(changed) if is_added else keys.difference(changed)


def _fold_rows(rows: Sequence[Row], arrangement: Arrangement, idle: Collection[str]) -> list[Row]:
    """Leaves of each folded loader only its title, which then shows the lanes that fetch as one, and what of it is pinned."""
    result: list[Row] = []
    for row in rows:
        title = row.loader_title
        is_folded = bool(title) and title not in arrangement.unfolded and (title in arrangement.folded or row.loader in idle)
        if row.kind == "title":
            lanes = loading_lanes([own for own in rows if own.loader == row.loader]) if is_folded else []
            kind = next((own.lane_kind for own in rows if own.kind == "lane" and own.key in lanes), "")
            result.append(dataclasses.replace(row, is_folded=is_folded, lanes=tuple(lanes), lane_kind=kind))
        elif not is_folded or row.key in arrangement.pinned:
            result.append(row)
    return result


def _collapse_rows(rows: Sequence[Row], arrangement: Arrangement) -> list[Row]:
    """Replaces all lanes of a collapsed kind by one row for each loader; pinned lanes stay beside it."""
    result: list[Row] = []
    done: set[tuple[str, str]] = set()
    for row in rows:
        kind = row.lane_kind
        is_collapsed = kind in arrangement.collapsed and kind in GROUP_KEYS and row.kind == "lane"
        mine = [other for other in lanes_of_kind(rows, kind) if other.loader == row.loader] if is_collapsed else []
        if len(mine) < 2:
            result.append(row)
            continue
        if (row.loader, kind) not in done:
            done.add((row.loader, kind))
            lanes = tuple(lane for member in mine for lane in member.lanes)
            group = Row("group", row.loader + GROUP_KEYS[kind], f"{len(mine)} {kind}s", row.section, kind, lanes)
            result.append(dataclasses.replace(group, loader=row.loader, loader_title=row.loader_title))
        if row.key in arrangement.pinned:
            result.append(row)
    return result


def _order_rows(rows: Sequence[Row], order: Sequence[str]) -> list[Row]:
    """Sorts the rows of `order`; puts each other row behind the row that it follows by default."""
    if not order:
        return list(rows)
    place = {key: number for number, key in enumerate(order)}
    result = sorted((row for row in rows if row.key in place), key=lambda row: place[row.key])
    before: str | None = None
    for row in rows:
        if row.key not in place:
            at = next((number + 1 for number, other in enumerate(result) if other.key == before), 0)
            result.insert(at, row)
        before = row.key
    return result
