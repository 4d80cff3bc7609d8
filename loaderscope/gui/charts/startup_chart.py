"""What the time before the first batch is spent on: one bar a setting, or one a process of a trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from loaderscope.facts.phases import GROUPS, SHUTDOWN, StartupPhase, group_title, phase_of
from loaderscope.facts.results import Phase, Startup, TrialResult
from loaderscope.facts.settings import BY_FIELD, setting_text, varying_fields
from loaderscope.facts.text import duration_text
from loaderscope.gui.charts.drawing import (
    Frame,
    Hit,
    axis_end,
    axis_hits,
    bottom_margin,
    draw_bottom_axis,
    draw_empty,
    draw_hatched,
    elided,
    ticks,
)
from loaderscope.gui.charts.legend import Entry, draw_legend, draw_legend_beside
from loaderscope.gui.style.palette import Palette

EMPTY = "Where the time from iter(loader) to the first batch goes,\nphase by phase: process creation, imports, unpickling, first fetch."

TIME_TIP = (
    "Time since the loop asked the loader for its iterator, iter(loader).\n"
    "The upright line is the moment when the training loop has its first batch."
)

ROW_PX, ROWS_MARGIN_PX = 18, 84
LOW_ROW_PX, LOW_MARGIN_PX = 16, 52  # with the legend beside the bars
BESIDE_WIDTH_PX = 400  # a narrower chart has no room beside its bars
PADDING_PX = 24  # around what is painted and for a scroll bar, of these heights and widths
TIME_PX = 56.0  # for the time of the first batch, after the longest bar
LABELS_PART = 0.5  # of the width, at most
SHUTDOWN_GAP_PX = 4  # it happens later, at the end of the epoch


@dataclasses.dataclass(frozen=True)
class Bar:
    """One row: its phases on the time axis from iter(), and the time of the first batch.

    Attributes:
        unexplained: begin and end of what no phase covers.
        shutdown_s: what the end of the first epoch took, until its workers were gone.
    """

    label: str
    phases: tuple[Phase, ...]
    first_batch_s: float | None
    trial: int
    unexplained: tuple[tuple[float, float], ...] = ()
    shutdown_s: float | None = None


@dataclasses.dataclass(frozen=True)
class StartupData:
    """The bars from top to bottom."""

    bars: tuple[Bar, ...] = ()
    title: str = "time from iter() to the first batch"


def startup_data(results: Sequence[TrialResult]) -> StartupData:
    """A bar for each setting with start-up phases: main until its first worker starts, then that one, in the first epoch."""
    bars: dict[object, Bar] = {}
    leave_out = BY_FIELD.keys() - varying_fields([result.config for result in results]) - {"num_workers"}
    for result in results:
        if result.status != "ok" or result.startup is None or not result.startup.phases or result.config in bars:
            continue
        first = _until_first_batch(result.startup)
        shown = tuple(phase for phase in first if phase.process in ("main", "worker-0"))
        end_s = result.first_batch_s
        gaps = tuple(_gaps(shown, 0.0, end_s)) if end_s is not None else ()
        label = setting_text(result.config, leave_out)
        bars[result.config] = Bar(label, shown, end_s, result.id, gaps, _shutdown_seconds(result.startup))
    return StartupData(tuple(bars.values()))


def _until_first_batch(startup: Startup) -> list[Phase]:
    """The phases of the first epoch, without its end."""
    return [phase for phase in startup.phases if phase.epoch == 0 and phase.phase != SHUTDOWN.key]


def _shutdown_seconds(startup: Startup) -> float | None:
    ends = [phase.seconds for phase in startup.phases if phase.epoch == 0 and phase.phase == SHUTDOWN.key]
    return sum(ends) if ends else None


def _gaps(phases: Sequence[Phase], low_s: float, high_s: float) -> list[tuple[float, float]]:
    """What of a range no phase covers."""
    found, at = [], low_s
    for phase in sorted(phases, key=lambda phase: phase.start_s):
        if min(phase.start_s, high_s) > at:
            found.append((at, min(phase.start_s, high_s)))
        at = max(at, phase.start_s + phase.seconds)
    return [*found, (at, high_s)] if at < high_s else found


def startup_data_of_trial(result: TrialResult) -> StartupData:
    """A bar for each process of one trial, first epoch."""
    if result.startup is None:
        return StartupData()
    by_process: dict[str, list[Phase]] = {}
    for phase in _until_first_batch(result.startup):
        by_process.setdefault(phase.process, []).append(phase)
    bars = []
    for name, phases in by_process.items():
        begins, ends = min(phase.start_s for phase in phases), max(phase.start_s + phase.seconds for phase in phases)
        is_main = name == "main"  # it waits for its workers: no gap of it needs an explanation
        gaps = () if is_main else tuple(_gaps(phases, begins, ends))
        ended = _shutdown_seconds(result.startup) if is_main else None
        bars.append(Bar(name.replace("-", " "), tuple(phases), result.first_batch_s, result.id, gaps, ended))
    return StartupData(tuple(bars), f"time from iter(), trial {result.id}")


def told_startup(data: StartupData) -> str:
    """The chart in words."""
    return "; ".join(f"{bar.label}: first batch after {duration_text(bar.first_batch_s)}" for bar in data.bars) + "."


def height_px(data: StartupData) -> int:
    """How high the chart must be for its rows to be read below the legend."""
    return len(data.bars) * ROW_PX + ROWS_MARGIN_PX if data.bars else 0


def least_height_px(data: StartupData, width_px: float) -> int:
    """How high the chart must be at least: a wide one has room for the legend beside its rows."""
    return len(data.bars) * LOW_ROW_PX + LOW_MARGIN_PX if data.bars and width_px >= BESIDE_WIDTH_PX else height_px(data)


def paint_startup(painter: QPainter, area: QRectF, data: StartupData, palette: Palette) -> list[Hit]:
    """Draws the bars and says where their phases are."""
    if not data.bars:
        draw_empty(painter, area, EMPTY, palette)
        return []
    is_low = area.height() < height_px(data) - PADDING_PX and area.width() >= BESIDE_WIDTH_PX - PADDING_PX
    beside = draw_legend_beside(painter, _legend(data, palette), area, palette) if is_low else 0.0
    area = area.adjusted(0, 0 if is_low else draw_legend(painter, _legend(data, palette), area, palette), -beside, 0)
    metrics = QFontMetricsF(painter.font())
    labels = row_labels(data, metrics, area.width())
    width = min(area.width() * LABELS_PART, max(metrics.horizontalAdvance(label) for label in labels) + 12)
    plot = area.adjusted(width, 0, -6, -bottom_margin(painter))
    end = max(_end(bar) + (bar.shutdown_s or 0.0) for bar in data.bars)
    room = plot.width() / max(1.0, plot.width() - TIME_PX)
    frame = Frame(plot, (0.0, axis_end(max(end, 1e-6) * room)), (0.0, 1.0))
    unit, factor = ("ms", 1e3) if frame.x_range[1] <= 0.5 else ("s", 1.0)
    values = ticks(0, frame.x_range[1], max(2, int(plot.width() // 70)))
    draw_bottom_axis(painter, frame, values, lambda value: f"{value * factor:g} {unit}" if value else "0", palette, title=data.title)
    slot = plot.height() / len(data.bars)
    height = min(slot * 0.66, 26.0)
    hits = axis_hits(frame, "", TIME_TIP)[1:]
    for index, (bar, label) in enumerate(zip(data.bars, labels, strict=True)):
        middle = plot.top() + slot * (index + 0.5)
        row = QRectF(area.left(), middle - height / 2, width - 8, height)
        has_words = slot >= metrics.height() * 0.8
        if has_words:
            painter.setPen(QColor(palette.text))
            painter.drawText(row, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, elided(painter, label, row.width()))
        hits.append(Hit(QRectF(area.left(), row.top(), area.width(), height), _bar_tip(bar), bar.trial))
        hits += _draw_bar(painter, frame, bar, (row.top(), height), palette, has_words=has_words)
    return hits


def row_labels(data: StartupData, metrics: QFontMetricsF, width_px: float) -> list[str]:
    """What stands before the bars; shorter where it would take more than a third, as labels that are cut read alike."""
    labels = [bar.label for bar in data.bars]
    if max(metrics.horizontalAdvance(label) for label in labels) <= width_px * LABELS_PART * 2 / 3:
        return labels
    return [label.replace(" workers · ", " × ").replace(" worker · ", " × ") for label in labels]


def _end(bar: Bar) -> float:
    return max([phase.start_s + phase.seconds for phase in bar.phases] + [bar.first_batch_s or 0.0])


def _draw_bar(painter: QPainter, frame: Frame, bar: Bar, span: tuple[float, float], palette: Palette, *, has_words: bool) -> list[Hit]:
    top, height = span
    hits = []
    for phase in sorted(bar.phases, key=lambda phase: (phase.start_s, -phase.seconds)):
        kind = phase_of(phase.phase)
        left, right = frame.x(phase.start_s), frame.x(phase.start_s + phase.seconds)
        rect = QRectF(left, top, max(1.0, right - left), height)
        painter.fillRect(rect, QColor(palette.role(kind.group.role)))
        hits.append(Hit(rect, _phase_tip(bar, kind, phase.seconds), bar.trial))
    for low_s, high_s in bar.unexplained:
        rect = QRectF(frame.x(low_s), top, frame.x(high_s) - frame.x(low_s), height)
        draw_hatched(painter, rect, palette.muted)
        hits.append(Hit(rect, f"{bar.label}\nunexplained: {duration_text(high_s - low_s)}", bar.trial))
    right = frame.x(_end(bar))
    if bar.shutdown_s:
        left = frame.x(_end(bar)) + SHUTDOWN_GAP_PX
        rect = QRectF(left, top + height / 4, max(1.0, frame.x(bar.shutdown_s) - frame.x(0.0)), height / 2)
        right = rect.right()
        painter.fillRect(rect, QColor(palette.role(SHUTDOWN.group.role)))
        hits.append(Hit(rect, _phase_tip(bar, SHUTDOWN, bar.shutdown_s), bar.trial))
    if bar.first_batch_s is not None:
        x = frame.x(bar.first_batch_s)
        painter.setPen(QPen(QColor(palette.text), 1.5))
        painter.drawLine(QPointF(x, top - 3), QPointF(x, top + height + 3))
        if has_words:
            painter.setPen(QColor(palette.muted))
            box = QRectF(right + 6, top - 4, TIME_PX, height + 8)
            painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, duration_text(bar.first_batch_s))
    return hits


def _legend(data: StartupData, palette: Palette) -> list[Entry]:
    """Colours that occur, named for what they mean together."""
    total = sum(phase.seconds for bar in data.bars for phase in bar.phases) or 1.0
    seconds = dict.fromkeys(GROUPS, 0.0)
    for bar in data.bars:
        for phase in bar.phases:
            seconds[phase_of(phase.phase).group] += phase.seconds
    shown = [group for group in GROUPS if seconds[group] > total * 0.002]
    if any(bar.shutdown_s for bar in data.bars):
        shown.append(SHUTDOWN.group)
    entries = [Entry(palette.role(group.role), group_title(group)) for group in shown]
    if sum(high - low for bar in data.bars for low, high in bar.unexplained) > total * 0.002:
        entries.append(Entry(palette.muted, "unexplained", is_hatched=True))
    return entries


def _phase_tip(bar: Bar, kind: StartupPhase, seconds: float) -> str:
    return "\n".join(part for part in (bar.label, f"{kind.title}: {duration_text(seconds)}", kind.tip) if part)


def _bar_tip(bar: Bar) -> str:
    return f"{bar.label}\nfirst batch after {duration_text(bar.first_batch_s)}"
