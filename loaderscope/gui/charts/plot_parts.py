"""What a chart hands to its plot: axes, the styles of lines, and what the user has changed. No pyqtgraph, which is slow to import."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from loaderscope.gui.style.palette import Palette

_ENDS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)
"""Ends of axes: with fewer of them more runs have the same axes, with more of them less room is left empty."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of a plot.

    Attributes:
        title: stands at the axis.
        low: where the axis begins, in data coordinates.
        high: where it ends.
        text: puts a value into words, for ticks and for the crosshair.
        unit: what the crosshair says after a value, where `text` does not.
        tip: what the values are; shown when the mouse rests on the axis.
        ticks: the only values that are labelled; None: the plot chooses round ones.
        has_grid: whether lines behind the data continue the ticks.
        least: the smallest value above 0, where the axis may be logarithmic; None: it may not.
    """

    title: str
    low: float
    high: float
    text: Callable[[float], str]
    tip: str = ""
    unit: str = ""
    ticks: tuple[float, ...] | None = None
    has_grid: bool = True
    least: float | None = None


@dataclasses.dataclass(frozen=True)
class PlotState:
    """What the user has changed of a plot.

    Attributes:
        x_range: the part of the bottom axis that is in sight; None: all of it.
        y_range: likewise of the left axis.
        is_log: whether the axis of values is logarithmic.
        hidden: names of the lines and bars that are switched off.
    """

    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    is_log: bool = False
    hidden: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Target:
    """A part of a plot that answers the mouse.

    Attributes:
        x: where it begins and ends on the bottom axis.
        y: where it begins and ends on the left axis; a point begins where it ends.
        text: what it says.
        trial: what a click shows; None: nothing.
        name: the legend's entry that it belongs to.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    text: str
    trial: int | None = None
    name: str = ""


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar within a row, from `begin` to `end` on the bottom axis.

    Attributes:
        colour: empty for an open dashed box.
        name: the legend's entry that it belongs to.
        part: where it begins and ends within the height of its row's bars, 0 to 1 from the top.
    """

    begin: float
    end: float
    colour: str
    name: str
    tip: str
    part: tuple[float, float] = (0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class BarText:
    """A text that begins at a value of the bottom axis, at a part of the height of its row's bars."""

    text: str
    at: float
    part: float = 0.5


@dataclasses.dataclass(frozen=True)
class Row:
    """A label with bars beside it, and words after them.

    Attributes:
        words: stand at the right edge of the plot.
        values: texts that stand after bars.
        mark_at: where on the bottom axis an upright line stands.
        short_label: stands for the label where labels are wider than their room: labels that are cut may read alike.
    """

    label: str
    bars: tuple[Bar, ...]
    tip: str = ""
    words: str = ""
    values: tuple[BarText, ...] = ()
    mark_at: float | None = None
    trial: int | None = None
    short_label: str = ""


_DASHES = ((), (4.0, 2.0), (1.0, 1.5), (4.0, 1.5, 1.0, 1.5))
"""Dashes and gaps in widths of the line, for each turn through the colours; the first is a solid line."""

_SYMBOLS = ("o", "s", "d", "t1")
"""Names of pyqtgraph's marks, for each turn through the colours."""


@dataclasses.dataclass(frozen=True)
class LineStyle:
    """How a line is told apart: by colour, and where lines outnumber colours by dashes and marks, too.

    Attributes:
        turn: how often all colours were given out before.
    """

    colour: str
    turn: int = 0

    @property
    def dashes(self) -> tuple[float, ...]:
        """Dashes and gaps in widths of the line; empty for a solid line."""
        return _DASHES[self.turn % len(_DASHES)]

    @property
    def symbol(self) -> str:
        """The mark at each point, by its name in pyqtgraph."""
        return _SYMBOLS[self.turn % len(_SYMBOLS)]


def line_styles(count: int, palette: Palette) -> list[LineStyle]:
    """Styles of `count` lines, no two of them alike up to four times the number of colours."""
    return [LineStyle(palette.lines[number % len(palette.lines)], number // len(palette.lines)) for number in range(count)]


def axis_end(value: float) -> float:
    """The round end of an axis from 0 that shows `value`, of either sign: the same one for most runs that are much alike."""
    if not value:
        return 0.0
    power = 10.0 ** math.floor(math.log10(abs(value)))
    return math.copysign(next(power * factor for factor in _ENDS if abs(value) <= power * factor * (1 + 1e-9)), value)


def seconds_axis(
    title: str, high_s: float, *, low_s: float = 0.0, tip: str = "", least_s: float | None = None, has_grid: bool = True
) -> Axis:
    """An axis of seconds that reads in milliseconds where it is short."""
    unit, factor = ("ms", 1e3) if high_s <= 0.5 else ("s", 1.0)

    def text(value: float) -> str:
        return f"{float(f'{value * factor:.6g}'):g} {unit}" if value else "0"

    return Axis(title, low_s, high_s, text, tip, least=least_s, has_grid=has_grid)


def smallest_above_zero(values: Sequence[float]) -> float | None:
    """Where a logarithmic axis of these values begins; None: it cannot."""
    return min((value for value in values if value > 0), default=None)
