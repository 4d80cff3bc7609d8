"""For what share of its time a recorded training waited for data, from its start to its end."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import TYPE_CHECKING

from loaderscope.analysis.recorded_training import RecordedTraining
from loaderscope.facts.text import duration_text, share_text
from loaderscope.gui.charts.chart_kind import ChartKind
from loaderscope.gui.charts.plot_parts import Axis, LineStyle, Target
from loaderscope.gui.style.words import EXPOSED_TIP

if TYPE_CHECKING:
    from loaderscope.gui.charts.plot import Plot

EMPTY = "For what share of its time the training waited for data, over time.\nIt is known once the training has ended."
SHARE_TIP = "\n".join(textwrap.wrap(f"Exposed loading time as a share: {EXPOSED_TIP}", 100))
TIME_TIP = "Time since the script was started"
NAME = "waited for data"

_MINUTES_FROM_S, _HOURS_FROM_S = 600.0, 3 * 3600.0


@dataclasses.dataclass(frozen=True)
class ExposedData:
    """What the chart shows.

    Attributes:
        edges_s: where the parts of the training begin, and the end of the last.
        shares: the exposed share of each part.
        whole: the exposed share of the whole training.
    """

    edges_s: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    whole: float = 0.0


def exposed_data(training: RecordedTraining | None) -> ExposedData:
    """Returns the shares over time; empty for a sweep, and for a session that lacks them."""
    if training is None or training.bin_s is None or not training.exposed_shares:
        return ExposedData()
    starts = [number * training.bin_s for number in range(len(training.exposed_shares))]
    return ExposedData((*starts, max(training.seconds, starts[-1])), tuple(training.exposed_shares), training.exposed_share)


def told_exposed(data: ExposedData) -> str:
    """Returns the chart in words."""
    worst = max(range(len(data.shares)), key=data.shares.__getitem__)
    return (
        f"The training waited for data {share_text(data.whole)} of its time, most at {duration_text(data.edges_s[worst])}: "
        f"{share_text(data.shares[worst])}."
    )


def draw_exposed(plot: Plot, data: ExposedData) -> None:
    """Draws the share of each part of the training as a line with steps."""
    end_s = data.edges_s[-1]
    unit, unit_s = ("h", 3600.0) if end_s >= _HOURS_FROM_S else ("min", 60.0) if end_s >= _MINUTES_FROM_S else ("s", 1.0)
    title = f"{ {'h': 'hours', 'min': 'minutes', 's': 'seconds'}[unit] } of the training"
    edges = [edge / unit_s for edge in data.edges_s]
    plot.set_axes(
        Axis(title, 0.0, edges[-1], lambda value: f"{value:.4g}", TIME_TIP, unit),
        Axis("", 0.0, 1.0, lambda value: f"{value * 100:.3g} %", SHARE_TIP),
    )
    plot.add_note(f"{share_text(data.whole)} of the training", SHARE_TIP)
    x = [edge for edge in edges for _ in range(2)][1:-1]
    y = [share for share in data.shares for _ in range(2)]
    plot.add_line(NAME, LineStyle(plot.palette.accent), x, y)
    plot.add_targets(
        Target((begin, end), (share, share), f"{share_text(share)} of {duration_text((end - begin) * unit_s)}", name=NAME)
        for begin, end, share in zip(edges, edges[1:], data.shares, strict=False)
    )


EXPOSED = ChartKind(draw_exposed, lambda data: "" if data.shares else EMPTY, told_exposed)
