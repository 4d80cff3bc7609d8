"""What the start-up experiment found: cost per worker and per epoch, remedies predicted beside measured, and the controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter

from loaderscope.analysis.startup.experiment import BreakEven, Remedy, StartCost, StartupExperiment
from loaderscope.facts.results import Control
from loaderscope.facts.text import duration_text, share_text
from loaderscope.gui.charts.drawing import (
    Frame,
    Hit,
    axis_end,
    axis_hits,
    bottom_margin,
    draw_bottom_axis,
    draw_empty,
    draw_left_axis,
    elided,
    left_margin,
    ticks,
)
from loaderscope.gui.charts.legend import Entry, draw_legend, draw_lines_legend
from loaderscope.gui.charts.line_styles import line_styles
from loaderscope.gui.run.startup_sentences import batches_text, control_name, remedy_title, remedy_verdict, start_name
from loaderscope.gui.style.palette import Palette

EMPTY = 'Press "Why is start-up slow?" (F6): it tries the start methods with few batches\nand shows what each worker and each epoch costs.'
UNMEASURED = "None of these settings has come to its end yet."

BAR_PX, ROW_GAP_PX, ROWS_MARGIN_PX = 13, 8, 96
VALUE_PX = 52.0

FIRST_TIP = "Time from iter(loader) to the first batch, without the fork server's own start"


@dataclasses.dataclass(frozen=True)
class ExperimentData:
    """What the charts of the experiment are drawn from; None: there was none."""

    experiment: StartupExperiment | None = None


@dataclasses.dataclass(frozen=True)
class _Bar:
    colour: str
    seconds: float
    tip: str


@dataclasses.dataclass(frozen=True)
class _Row:
    """A label with bars below each other, and words after them."""

    label: str
    bars: tuple[_Bar, ...]
    words: str = ""
    trial: int | None = None


@dataclasses.dataclass(frozen=True)
class _Table:
    """Rows with what their colours and their axis mean."""

    rows: list[_Row]
    legend: list[Entry]
    title: str


def paint_per_worker(painter: QPainter, area: QRectF, data: ExperimentData, palette: Palette) -> list[Hit]:
    """First batch against number of workers, a line a start method."""
    lines = _lines(data.experiment)
    if not lines:
        draw_empty(painter, area, EMPTY if data.experiment is None else UNMEASURED, palette)
        return []
    styles = dict(zip(lines, line_styles(len(lines), palette), strict=True))
    area, hits = draw_lines_legend(painter, [Entry(style.colour, name, style) for name, style in styles.items()], area, palette)
    costs = [cost for line in lines.values() for cost in line]
    highest = max(cost.start_s for cost in costs)
    top = axis_end(highest * 1.02)
    y_values = ticks(0.0, top, max(2, int(area.height() // 44)))
    unit, factor = ("ms", 1e3) if top <= 0.5 else ("s", 1.0)

    def text(value: float) -> str:
        return f"{value * factor:g} {unit}" if value else "0"

    left = left_margin(painter, [text(value) for value in y_values])
    counts = sorted({cost.num_workers for cost in costs})
    plot = area.adjusted(left, 4, -10, -bottom_margin(painter))
    frame = Frame(plot, (0.0, counts[-1] * 1.05), (0.0, top))
    draw_left_axis(painter, frame, y_values, text, palette)
    draw_bottom_axis(painter, frame, [float(count) for count in counts], lambda value: f"{value:.0f}", palette, title="workers", grid=False)
    hits += axis_hits(frame, FIRST_TIP, "num_workers: processes that are started at once")
    for name, line in lines.items():
        points = [frame.point(cost.num_workers, cost.start_s) for cost in line]
        painter.setPen(styles[name].pen())
        painter.drawPolyline(points)
        for cost, point in zip(line, points, strict=True):
            styles[name].draw_mark(painter, point, palette.base)
            tip = f"{name}, {cost.num_workers} workers\nfirst batch after {duration_text(cost.start_s)}"
            tip += f"\nstarts lie {duration_text(cost.start_spread_s)} apart at most"
            hits.append(Hit(QRectF(point.x() - 8, point.y() - 8, 16, 16), tip, cost.trials[0] if cost.trials else None))
    return hits


def _lines(experiment: StartupExperiment | None) -> dict[str, list[StartCost]]:
    """The costs of settings that start workers in every epoch, by start method, fewest workers first."""
    lines: dict[str, list[StartCost]] = {}
    for cost in experiment.costs if experiment is not None else ():
        if cost.num_workers and not cost.persistent_workers:
            lines.setdefault(start_name(cost), []).append(cost)
    return {name: sorted(line, key=lambda cost: cost.num_workers) for name, line in lines.items()}


def paint_per_epoch(painter: QPainter, area: QRectF, data: ExperimentData, palette: Palette) -> list[Hit]:
    """What the first and the later epochs wait for their first batch, and their ends; persistent workers beside the others."""
    if data.experiment is None:
        draw_empty(painter, area, EMPTY, palette)
        return []
    rows = []
    for cost in data.experiment.costs:
        workers = "no workers" if not cost.num_workers else f"{start_name(cost)} × {cost.num_workers}"
        label = workers + (", persistent" if cost.persistent_workers else "")
        parts = (
            ("startup", "first epoch", cost.first_batch_s),
            ("fetch", "later epochs", cost.later_first_batch_s),
            ("own", "end", cost.epoch_end_s),
        )
        bars = tuple(
            _Bar(palette.role(role), seconds, f"{label}\n{name}: {duration_text(seconds)}")
            for role, name, seconds in parts
            if seconds is not None
        )
        rows.append(_Row(label, bars, trial=cost.trials[0] if cost.trials else None))
    legend = [
        Entry(palette.startup, "first batch of the first epoch"),
        Entry(palette.fetch, "of a later epoch"),
        Entry(palette.own, "end of an epoch, until its workers are gone"),
    ]
    return _paint_rows(painter, area, _Table(rows, legend, "seconds an epoch"), palette)


def paint_break_even(painter: QPainter, area: QRectF, data: ExperimentData, palette: Palette) -> list[Hit]:
    """The epoch lengths from which workers are quicker than none, started in every epoch and persistent."""
    if data.experiment is None:
        draw_empty(painter, area, EMPTY, palette)
        return []
    legend = [Entry(palette.startup, "started in every epoch"), Entry(palette.good, "persistent")]
    title = "shortest epoch from which workers are quicker than none"
    return _paint_rows(painter, area, _Table(_break_even_rows(data.experiment.break_even, palette), legend, title), palette)


def _break_even_rows(found: Sequence[BreakEven], palette: Palette) -> list[_Row]:
    by_start: dict[str, list[BreakEven]] = {}
    for one in found:
        by_start.setdefault(f"{start_name(one)} × {one.num_workers}", []).append(one)
    rows = []
    for label, several in by_start.items():
        ordered = sorted(several, key=lambda one: one.persistent_workers)
        bars = [
            _Bar(palette.good if one.persistent_workers else palette.startup, one.epoch_s, one.text)
            for one in ordered
            if one.epoch_s is not None
        ]
        lengths = ["never" if one.batches is None else batches_text(one.batches) for one in ordered]
        rows.append(_Row(label, tuple(bars), " / ".join(dict.fromkeys(lengths))))
    return rows


def paint_remedies(painter: QPainter, area: QRectF, data: ExperimentData, palette: Palette) -> list[Hit]:
    """Each remedy's saving, predicted beside measured, with the difference in words."""
    if data.experiment is None:
        draw_empty(painter, area, EMPTY, palette)
        return []
    rows = [_remedy_row(remedy, palette) for remedy in data.experiment.remedies]
    legend = [Entry(palette.waiting_hatch, "predicted from trials without it"), Entry(palette.good, "measured")]
    return _paint_rows(painter, area, _Table(rows, legend, "seconds saved"), palette)


def _remedy_row(remedy: Remedy, palette: Palette) -> _Row:
    bars = [
        _Bar(colour, seconds, f"{remedy.text}\n{name}: {duration_text(seconds)}")
        for colour, name, seconds in (
            (palette.waiting_hatch, "predicted", remedy.predicted_s),
            (palette.good, "measured", remedy.measured_s),
        )
        if seconds is not None
    ]
    return _Row(remedy_title(remedy), tuple(bars), remedy_verdict(remedy))


def paint_controls(painter: QPainter, area: QRectF, data: ExperimentData, palette: Palette) -> list[Hit]:
    """What an interpreter and its heaviest imports take by themselves."""
    if data.experiment is None or not data.experiment.controls:
        draw_empty(painter, area, EMPTY if data.experiment is None else "No controls were measured in this run.", palette)
        return []
    rows = [_control_row(control, palette) for control in data.experiment.controls]
    dropped = any(control.cache_was_dropped for control in data.experiment.controls)
    first = "files dropped from the system's cache before" if dropped else "first time, the system's cache as it was"
    legend = [Entry(palette.startup_dark, first), Entry(palette.startup_light, "again, files in the cache")]
    return _paint_rows(painter, area, _Table(rows, legend, "a fresh interpreter's start and its import"), palette)


def _control_row(control: Control, palette: Palette) -> _Row:
    name = control_name(control)
    bars = [
        _Bar(colour, seconds, f"{name}\n{when}: {duration_text(seconds)}")
        for colour, when, seconds in ((palette.startup_dark, "first", control.first_s), (palette.startup_light, "again", control.again_s))
        if seconds is not None
    ]
    disk = control.first_from_disk_share
    words = control.error or ("" if disk is None else f"{share_text(disk)} from disk")
    return _Row(name, tuple(bars), words)


def _paint_rows(painter: QPainter, area: QRectF, table: _Table, palette: Palette) -> list[Hit]:
    """Groups of bars to the right of their labels, on one axis of seconds; those that save nothing go to the left of 0."""
    rows = table.rows
    if not rows:
        draw_empty(painter, area, UNMEASURED, palette)
        return []
    used = draw_legend(painter, table.legend, area, palette)
    metrics = QFontMetricsF(painter.font())
    label_width = min(area.width() * 0.42, max(metrics.horizontalAdvance(row.label) for row in rows) + 10)
    words_width = min(area.width() * 0.28, max(metrics.horizontalAdvance(row.words) for row in rows) + 8)
    plot = area.adjusted(label_width, used, -max(6.0, words_width), -bottom_margin(painter))
    values = [bar.seconds for row in rows for bar in row.bars]
    room = plot.width() / max(1.0, plot.width() - VALUE_PX)  # for the value after the longest bar
    low, high = axis_end(min(0.0, *values, 0.0)), axis_end(max([1e-6, *values]) * room)
    frame = Frame(plot, (low, high), (0.0, 1.0))
    unit, factor = ("ms", 1e3) if high <= 0.5 else ("s", 1.0)
    marks = ticks(low, high, max(2, int(plot.width() // 70))) if values else []  # without bars, words alone tell what was found
    draw_bottom_axis(
        painter, frame, marks, lambda value: f"{round(value * factor, 9):g} {unit}" if value else "0", palette, title=table.title
    )
    slot = plot.height() / len(rows)
    hits = []
    for index, row in enumerate(rows):
        top = plot.top() + slot * index
        _draw_words(painter, QRectF(area.left(), top, label_width - 8, slot), row.label, palette.text, Qt.AlignmentFlag.AlignRight)
        _draw_words(painter, QRectF(plot.right() + 6, top, words_width - 6, slot), row.words, palette.muted, Qt.AlignmentFlag.AlignLeft)
        hits.append(Hit(QRectF(area.left(), top, area.width(), slot), "\n".join(filter(None, (row.label, row.words))), row.trial))
        height = min(slot * 0.85 / max(1, len(row.bars)), BAR_PX)
        first = top + (slot - height * len(row.bars)) / 2
        for place, bar in enumerate(row.bars):
            start, end = sorted((frame.x(0.0), frame.x(bar.seconds)))
            box = QRectF(start, first + place * height, max(1.0, end - start), max(1.0, height - 1))
            painter.fillRect(box, QColor(bar.colour))
            hits.append(Hit(box, bar.tip, row.trial))
            _draw_words(
                painter, QRectF(end + 5, box.top(), VALUE_PX, height), duration_text(bar.seconds), palette.muted, Qt.AlignmentFlag.AlignLeft
            )
    painter.setPen(QColor(palette.border))
    painter.drawLine(QPointF(frame.x(0.0), plot.top()), QPointF(frame.x(0.0), plot.bottom()))
    return hits


def _draw_words(painter: QPainter, box: QRectF, text: str, colour: str, side: Qt.AlignmentFlag) -> None:
    """One line in the middle of a box, where there is room for it."""
    if box.height() >= QFontMetricsF(painter.font()).height() * 0.8:
        painter.setPen(QColor(colour))
        painter.drawText(box, side | Qt.AlignmentFlag.AlignVCenter, elided(painter, text, box.width()))


PAINT: dict[str, Callable[[QPainter, QRectF, ExperimentData, Palette], list[Hit]]] = {
    "per worker": paint_per_worker,
    "per epoch": paint_per_epoch,
    "break-even": paint_break_even,
    "remedies": paint_remedies,
    "controls": paint_controls,
}
"""The charts of the experiment by what they show."""


def height_px(name: str, data: ExperimentData) -> int:
    """How high a chart of `PAINT` must be for its rows to be read."""
    if data.experiment is None:
        return 0
    costs, starts = data.experiment.costs, {(row.start_method, *row.preload, row.num_workers) for row in data.experiment.break_even}
    known = {"per epoch": (len(costs), 3), "break-even": (len(starts), 2), "remedies": (len(data.experiment.remedies), 2)}
    rows, bars = known.get(name, (0, 0))
    return rows * (bars * BAR_PX + ROW_GAP_PX) + ROWS_MARGIN_PX if rows else 0
