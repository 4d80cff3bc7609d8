"""What the start-up experiment found: cost per worker and per epoch, remedies predicted beside measured, and the controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from loaderscope.analysis.startup.experiment import BreakEven, StartCost, StartupExperiment
from loaderscope.facts.text import duration_text, share_text
from loaderscope.gui.charts.chart_kind import ChartKind
from loaderscope.gui.charts.plot_parts import Axis, Bar, BarText, Row, Target, axis_end, line_styles, seconds_axis, smallest_above_zero
from loaderscope.gui.run.startup_sentences import batches_text, control_name, experiment_sentence, remedy_title, remedy_verdict, start_name

if TYPE_CHECKING:
    from loaderscope.gui.charts.plot import Plot

EMPTY = 'Press "Why is start-up slow?" (F6): it tries the start methods with few batches\nand shows what each worker and each epoch costs.'
UNMEASURED = "None of these settings has come to its end yet."

BAR_PX, ROW_GAP_PX, ROWS_MARGIN_PX = 13, 8, 96
_ROOM_FOR_VALUES = 1.12
"""The axis is so many times longer than the bars: after the longest stands its value."""

WORKERS_TIP = "num_workers: processes that are started at once"
FIRST_TIP = "Time from iter(loader) to the first batch, without the fork server's own start"


Legend = Sequence[tuple[str, str]]
"""Name and colour of each kind of bar."""
BarOfRow = tuple[str, str, float, str]
"""Name in the legend, colour, seconds and tip."""


@dataclasses.dataclass(frozen=True)
class ExperimentData:
    """What the charts of the experiment are drawn from; None: there was none."""

    experiment: StartupExperiment | None = None


def draw_per_worker(plot: Plot, data: ExperimentData) -> None:
    """Draws the first batch against the number of workers, a line a start method."""
    lines = _lines(data.experiment)
    costs = [cost for line in lines.values() for cost in line]
    counts = sorted({cost.num_workers for cost in costs})
    workers = Axis(
        "workers", 0.0, counts[-1] * 1.05, lambda value: f"{value:.3g}", WORKERS_TIP, "workers", tuple(map(float, counts)), has_grid=False
    )
    seconds = [cost.start_s for cost in costs]
    top_s = axis_end(max(seconds) * 1.02)
    plot.set_axes(workers, seconds_axis("", top_s, tip=FIRST_TIP, least_s=smallest_above_zero(seconds)))
    styles = line_styles(len(lines), plot.palette)
    plot.set_legend(zip(lines, styles, strict=True))
    for style, (name, line) in zip(styles, lines.items(), strict=True):
        targets = []
        for cost in line:
            tip = f"{name}, {cost.num_workers} workers\nfirst batch after {duration_text(cost.start_s)}"
            tip += f"\nstarts lie {duration_text(cost.start_spread_s)} apart at most"
            x, y = (cost.num_workers, cost.num_workers), (cost.start_s, cost.start_s)
            targets.append(Target(x, y, tip, cost.trials[0] if cost.trials else None))
        plot.add_points(name, style, targets)


def _lines(experiment: StartupExperiment | None) -> dict[str, list[StartCost]]:
    """The costs of settings that start workers in every epoch, by start method, fewest workers first."""
    lines: dict[str, list[StartCost]] = {}
    for cost in experiment.costs if experiment is not None else ():
        if cost.num_workers and not cost.persistent_workers:
            lines.setdefault(start_name(cost), []).append(cost)
    return {name: sorted(line, key=lambda cost: cost.num_workers) for name, line in lines.items()}


def draw_per_epoch(plot: Plot, data: ExperimentData) -> None:
    """Draws what the first and the later epochs wait for their first batch, and their ends; persistent workers beside the others."""
    assert data.experiment is not None
    legend = (
        ("first batch of the first epoch", plot.palette.startup),
        ("of a later epoch", plot.palette.fetch),
        ("end of an epoch, until its workers are gone", plot.palette.own),
    )
    rows = []
    for cost in data.experiment.costs:
        workers = "no workers" if not cost.num_workers else f"{start_name(cost)} × {cost.num_workers}"
        label = workers + (", persistent" if cost.persistent_workers else "")
        bars = _bars(
            legend, (cost.first_batch_s, cost.later_first_batch_s, cost.epoch_end_s), ("first epoch", "later epochs", "end"), label
        )
        rows.append(_row(label, bars, len(legend), trial=cost.trials[0] if cost.trials else None))
    _draw_rows(plot, rows, legend, "seconds an epoch")


def draw_break_even(plot: Plot, data: ExperimentData) -> None:
    """Draws the epoch lengths from which workers are quicker than none, started in every epoch and persistent."""
    assert data.experiment is not None
    legend = (("started in every epoch", plot.palette.startup), ("persistent", plot.palette.good))
    by_start: dict[str, list[BreakEven]] = {}
    for one in data.experiment.break_even:
        by_start.setdefault(f"{start_name(one)} × {one.num_workers}", []).append(one)
    rows = []
    for label, several in by_start.items():
        ordered = sorted(several, key=lambda one: one.persistent_workers)
        bars = [(*legend[one.persistent_workers], one.epoch_s, one.text) for one in ordered if one.epoch_s is not None]
        lengths = ["never" if one.batches is None else batches_text(one.batches) for one in ordered]
        rows.append(_row(label, bars, len(legend), " / ".join(dict.fromkeys(lengths))))
    _draw_rows(plot, rows, legend, "shortest epoch from which workers are quicker than none")


def draw_remedies(plot: Plot, data: ExperimentData) -> None:
    """Draws each remedy's saving, predicted beside measured, with the difference in words."""
    assert data.experiment is not None
    legend = (("predicted from trials without it", plot.palette.waiting_hatch), ("measured", plot.palette.good))
    rows = []
    for remedy in data.experiment.remedies:
        bars = _bars(legend, (remedy.predicted_s, remedy.measured_s), ("predicted", "measured"), remedy.text)
        rows.append(_row(remedy_title(remedy), bars, len(legend), remedy_verdict(remedy)))
    _draw_rows(plot, rows, legend, "seconds saved")


def draw_controls(plot: Plot, data: ExperimentData) -> None:
    """Draws what an interpreter and its heaviest imports take by themselves."""
    assert data.experiment is not None
    dropped = any(control.cache_was_dropped for control in data.experiment.controls)
    first = "files dropped from the system's cache before" if dropped else "first time, the system's cache as it was"
    legend = ((first, plot.palette.startup_dark), ("again, files in the cache", plot.palette.startup_light))
    rows = []
    for control in data.experiment.controls:
        label = control_name(control)
        bars = _bars(legend, (control.first_s, control.again_s), ("first", "again"), label)
        disk = control.first_from_disk_share
        rows.append(_row(label, bars, len(legend), control.error or ("" if disk is None else f"{share_text(disk)} from disk")))
    _draw_rows(plot, rows, legend, "a fresh interpreter's start and its import")


def _draw_rows(plot: Plot, rows: Sequence[Row], legend: Legend, title: str) -> None:
    """Draws groups of bars on one axis of seconds; what saves nothing goes to the left of 0."""
    values = [bar.end for row in rows for bar in row.bars]
    low, high = axis_end(min(0.0, *values, 0.0)), axis_end(max([1e-6, *values]) * _ROOM_FOR_VALUES)
    axis = seconds_axis(title, high, low_s=low)
    plot.set_legend(legend)
    plot.set_rows(rows, axis if values else dataclasses.replace(axis, ticks=()))


def _bars(legend: Legend, seconds: Sequence[float | None], words: Sequence[str], head: str) -> list[BarOfRow]:
    """The bars of a row whose seconds are known; each tip begins with `head`, and calls the seconds by the bar's word."""
    return [
        (name, colour, value, f"{head}\n{word}: {duration_text(value)}")
        for (name, colour), value, word in zip(legend, seconds, words, strict=True)
        if value is not None
    ]


def _row(label: str, bars: Sequence[BarOfRow], most_bars: int, words: str = "", trial: int | None = None) -> Row:
    """A row of bars below each other, in the middle of the height that `most_bars` of them take.

    Args:
        label: stands before the bars.
        bars: from top to bottom.
        most_bars: the largest number of bars of a row.
        words: stand after the bars.
        trial: what a click shows.
    """
    shapes, values = [], []
    for number, (name, colour, seconds, tip) in enumerate(bars):
        place = number + (most_bars - len(bars)) / 2
        shapes.append(Bar(0.0, seconds, colour, name, tip, part=(place / most_bars, (place + 0.94) / most_bars)))
        values.append(BarText(duration_text(seconds), max(seconds, 0.0), (place + 0.5) / most_bars))
    return Row(label, tuple(shapes), "\n".join(filter(None, (label, words))), words, tuple(values), trial=trial)


def _kind(
    name: str,
    draw: Callable[[Plot, ExperimentData], None],
    rows: Callable[[StartupExperiment], Sequence[object] | Mapping[str, object]],
    unmeasured: str = UNMEASURED,
) -> tuple[str, ChartKind[ExperimentData]]:
    def empty(data: ExperimentData) -> str:
        return EMPTY if data.experiment is None else "" if rows(data.experiment) else unmeasured

    def told(data: ExperimentData) -> str:
        return experiment_sentence(data.experiment, name) if data.experiment is not None else ""

    return name, ChartKind(draw, empty, told)


KINDS: dict[str, ChartKind[ExperimentData]] = dict(
    (
        _kind("per worker", draw_per_worker, _lines),
        _kind("per epoch", draw_per_epoch, lambda found: found.costs),
        _kind("break-even", draw_break_even, lambda found: found.break_even),
        _kind("remedies", draw_remedies, lambda found: found.remedies),
        _kind("controls", draw_controls, lambda found: found.controls, "No controls were measured in this run."),
    )
)
"""The charts of the experiment by what they show."""


def height_px(name: str, data: ExperimentData) -> int:
    """How high a chart of `KINDS` must be for its rows to be read."""
    if data.experiment is None:
        return 0
    found = data.experiment
    starts = {(row.start_method, *row.preload, row.num_workers) for row in found.break_even}
    known = {"per epoch": (found.costs, 3), "break-even": (starts, 2), "remedies": (found.remedies, 2), "controls": (found.controls, 2)}
    rows, bars = known.get(name, ((), 0))
    return len(rows) * (bars * BAR_PX + ROW_GAP_PX) + ROWS_MARGIN_PX if rows else 0
