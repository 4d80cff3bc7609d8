"""What makes one kind of chart: how its data are drawn, and what is said where they show nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from loaderscope.gui.charts.plot import Plot

Data = TypeVar("Data")


@dataclasses.dataclass(frozen=True)
class ChartKind(Generic[Data]):
    """One kind of chart.

    Attributes:
        draw: puts data into an empty plot.
        empty: what is said of data that show nothing; an empty text where there is something to draw.
        told: the chart in words, for those who cannot see it.
    """

    draw: Callable[[Plot, Data], None]
    empty: Callable[[Data], str]
    told: Callable[[Data], str]
