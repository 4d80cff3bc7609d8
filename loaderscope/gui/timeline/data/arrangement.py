"""How the user arranged the rows: pinned, hidden, collapsed, in an order and with heights of their own. No Qt."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence

from loaderscope.facts.lanes import GROUP_KEYS
from loaderscope.gui.timeline.data.scene import Row

LEAST_PX, MOST_PX = 14, 240
"""A row can be made as low or as tall as this."""

STEP = 1.25
"""What one step makes a row taller or lower by."""

MANY_WORKERS = 16
"""With more workers than this, showing them as one row is offered."""


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """What the user chose. Rows are named by their keys, so a choice holds for every trial that has such a row.

    Attributes:
        pinned: rows that stay at the top while the rest scrolls.
        hidden: rows that are not shown.
        extra: optional rows that are shown.
        collapsed: kinds of lanes that are shown as one row.
        order: rows in the order they were dragged into; the others follow those they stand behind by default.
        heights: logical pixels, by `height_key`.
    """

    pinned: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    extra: frozenset[str] = frozenset()
    collapsed: frozenset[str] = frozenset()
    order: tuple[str, ...] = ()
    heights: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def pin(self, key: str, pinned: bool = True) -> Arrangement:
        return dataclasses.replace(self, pinned=_with(self.pinned, [key], pinned))

    def hide(self, keys: Iterable[str]) -> Arrangement:
        """Hides rows; those that were optional go back to where they came from."""
        keys = frozenset(keys)
        return dataclasses.replace(self, hidden=_with(self.hidden, keys - self.extra, True), extra=self.extra - keys)

    def show(self, keys: Iterable[str]) -> Arrangement:
        return dataclasses.replace(self, hidden=_with(self.hidden, keys, False))

    def show_extra(self, key: str, shown: bool = True) -> Arrangement:
        """An optional row shown, or no more."""
        return dataclasses.replace(self, extra=_with(self.extra, [key], shown), hidden=self.hidden - {key})

    def collapse(self, kind: str, collapsed: bool = True) -> Arrangement:
        return dataclasses.replace(self, collapsed=_with(self.collapsed, [kind], collapsed))

    def with_height(self, row: Row, height_px: float | None) -> Arrangement:
        """A row with another height; None gives it back the one that it has by itself."""
        heights = {key: value for key, value in self.heights.items() if key != height_key(row)}
        if height_px is not None:
            heights[height_key(row)] = min(max(round(height_px), LEAST_PX), MOST_PX)
        return dataclasses.replace(self, heights=heights)

    def move(self, rows: Sequence[Row], key: str, before: str | None) -> Arrangement:
        """A row moved to stand before another, or last.

        Args:
            rows: those of the scene.
            key: which row.
            before: the row that it then stands before; None for the end.
        """
        keys = [row.key for row in _ordered(_collapsed(rows, self), self.order) if row.key != key]
        keys.insert(keys.index(before) if before in keys else len(keys), key)
        return dataclasses.replace(self, order=(*keys, *(old for old in self.order if old not in keys)))

    def to_text(self) -> str:
        """For the settings file."""
        values = {
            "pinned": sorted(self.pinned),
            "hidden": sorted(self.hidden),
            "extra": sorted(self.extra),
            "collapsed": sorted(self.collapsed),
        }
        return json.dumps({**values, "order": list(self.order), "heights": dict(self.heights)})

    @classmethod
    def from_text(cls, text: str) -> Arrangement:
        """What `to_text` wrote; what cannot be read is left out."""
        try:
            values = json.loads(text)
        except ValueError:
            return cls()
        if not isinstance(values, dict):
            return cls()

        def names(field: str) -> list[str]:
            found = values.get(field)
            return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []

        heights = values.get("heights")
        return cls(
            frozenset(names("pinned")),
            frozenset(names("hidden")),
            frozenset(names("extra")),
            frozenset(names("collapsed")),
            tuple(names("order")),
            {
                str(key): min(max(value, LEAST_PX), MOST_PX)
                for key, value in (heights if isinstance(heights, dict) else {}).items()
                if isinstance(value, int)
            },
        )


@dataclasses.dataclass(frozen=True)
class Arranged:
    """The rows of a scene as they are shown.

    Attributes:
        rows: from top to bottom.
        pinned: how many of them, from the top, are pinned.
        hidden: those that would stand among them.
        heights: logical pixels by the key of the row, where the user chose one.
    """

    rows: tuple[Row, ...] = ()
    pinned: int = 0
    hidden: tuple[Row, ...] = ()
    heights: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def hidden_words(self) -> str:
        """How many lanes are hidden; empty where none is."""
        count = len(self.hidden)
        return f"{count} lane{'' if count == 1 else 's'} hidden" if count else ""


def arrange(rows: Sequence[Row], arrangement: Arrangement) -> Arranged:
    """The rows of a scene as the user arranged them."""
    wanted = [row for row in rows if not row.is_optional or row.key in arrangement.extra]
    ordered = _ordered(_collapsed(wanted, arrangement), arrangement.order)
    shown = [row for row in ordered if row.key not in arrangement.hidden]
    pinned = [row for row in shown if row.key in arrangement.pinned]
    rest = [row for row in shown if row.key not in arrangement.pinned]
    heights = {row.key: arrangement.heights[height_key(row)] for row in shown if height_key(row) in arrangement.heights}
    hidden = tuple(row for row in ordered if row.key in arrangement.hidden)
    return Arranged((*pinned, *rest), len(pinned), hidden, heights)


def height_key(row: Row) -> str:
    """What a height is remembered by: lanes that are compared with each other have one in common."""
    return f"{row.lane_kind} lane" if row.kind == "lane" and row.lane_kind in GROUP_KEYS else row.key


def members(rows: Sequence[Row], kind: str) -> list[Row]:
    """The lanes of a kind."""
    return [row for row in rows if row.kind == "lane" and row.lane_kind == kind]


def _with(keys: frozenset[str], changed: Iterable[str], wanted: bool) -> frozenset[str]:
    return keys.union(changed) if wanted else keys.difference(changed)


def _collapsed(rows: Sequence[Row], arrangement: Arrangement) -> list[Row]:
    """One row in place of all lanes of a collapsed kind; pinned lanes stay beside it."""
    result: list[Row] = []
    done: set[str] = set()
    for row in rows:
        kind = row.lane_kind
        mine = members(rows, kind) if kind in arrangement.collapsed and kind in GROUP_KEYS and row.kind == "lane" else []
        if len(mine) < 2:
            result.append(row)
            continue
        if kind not in done:
            done.add(kind)
            lanes = tuple(lane for member in mine for lane in member.lanes)
            result.append(Row("group", GROUP_KEYS[kind], f"{len(mine)} {kind}s", row.section, kind, lanes))
        if row.key in arrangement.pinned:
            result.append(row)
    return result


def _ordered(rows: Sequence[Row], order: Sequence[str]) -> list[Row]:
    """Rows that were dragged in their order, each other one behind the row that it follows by default."""
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
