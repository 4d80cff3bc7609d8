"""What the time before the first batch is spent on: one bar a setting, or one a process of a trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from loaderscope.facts.phases import GROUPS, SHUTDOWN, StartupPhase, group_title, phase_of
from loaderscope.facts.results import TrialResult
from loaderscope.facts.settings import BY_FIELD, setting_text, varying_fields
from loaderscope.facts.startup_results import Phase, Startup
from loaderscope.facts.text import duration_text
from loaderscope.gui.charts.chart_kind import ChartKind
from loaderscope.gui.charts.plot_parts import Bar, BarText, Row, axis_end, seconds_axis
from loaderscope.gui.style.palette import Palette
from loaderscope.gui.style.words import trial_word

if TYPE_CHECKING:
    from loaderscope.gui.charts.plot import Plot

EMPTY = "Where the time from iter(loader) to the first batch goes,\nphase by phase: process creation, imports, unpickling, first fetch."

TIME_TIP = (
    "Time since the loop asked the loader for its iterator, iter(loader).\n"
    "The upright line is the moment when the training loop has its first batch."
)

ROW_PX, ROWS_MARGIN_PX = 18, 84
LOW_ROW_PX, LOW_MARGIN_PX = 16, 52  # with the legend beside the bars
BESIDE_WIDTH_PX = 400  # a narrower chart has no room beside its bars
UNEXPLAINED = "unexplained"
_ROOM_FOR_TIMES = 1.12
"""The axis is so many times longer than the bars: after the longest stands the time of the first batch."""
_SHUTDOWN_GAP_SHARE = 0.008


@dataclasses.dataclass(frozen=True)
class StartupBar:
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

    bars: tuple[StartupBar, ...] = ()
    title: str = "time from iter() to the first batch"


def startup_data(results: Sequence[TrialResult]) -> StartupData:
    """A bar for each setting with start-up phases: main until its first worker starts, then that one, in the first epoch.

    A perfect loader has none: it first fetches all of its batches. The loaders of a recorded training have a bar each, which is named
    for them.
    """
    bars: dict[object, StartupBar] = {}
    results = [result for result in results if result.purpose.is_of_setting]
    leave_out = BY_FIELD.keys() - varying_fields([result.config for result in results]) - {"num_workers"}
    for result in results:
        key = result.config if result.loader is None else result.id
        if result.status != "ok" or result.startup is None or not result.startup.phases or key in bars:
            continue
        first = _until_first_batch(result.startup)
        shown = tuple(phase for phase in first if phase.process in ("main", "worker-0"))
        end_s = result.first_batch_s
        gaps = tuple(_gaps(shown, 0.0, end_s)) if end_s is not None else ()
        label = setting_text(result.config, leave_out) if result.loader is None else result.loader.name
        bars[key] = StartupBar(label, shown, end_s, result.id, gaps, _shutdown_seconds(result.startup))
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
        bars.append(StartupBar(name.replace("-", " "), tuple(phases), result.first_batch_s, result.id, gaps, ended))
    return StartupData(tuple(bars), f"time from iter(), {trial_word(result)}")


def told_startup(data: StartupData) -> str:
    """The chart in words."""
    return "; ".join(f"{bar.label}: first batch after {duration_text(bar.first_batch_s)}" for bar in data.bars) + "."


def height_px(data: StartupData) -> int:
    """How high the chart must be for its rows to be read below the legend."""
    return len(data.bars) * ROW_PX + ROWS_MARGIN_PX if data.bars else 0


def least_height_px(data: StartupData, width_px: float) -> int:
    """How high the chart must be at least: a wide one has room for the legend beside its rows."""
    return len(data.bars) * LOW_ROW_PX + LOW_MARGIN_PX if data.bars and width_px >= BESIDE_WIDTH_PX else height_px(data)


def draw_startup(plot: Plot, data: StartupData) -> None:
    """Draws a row of phases for each bar, with a line where the first batch is there."""
    end_s = max(_end_s(bar) + (bar.shutdown_s or 0.0) for bar in data.bars)
    high_s = axis_end(max(end_s, 1e-6) * _ROOM_FOR_TIMES)
    entries = _legend(data, plot.palette)
    plot.set_legend(entries)
    rows = []
    for bar in data.bars:
        shapes = [
            Bar(
                phase.start_s,
                phase.start_s + phase.seconds,
                _colour(kind, plot.palette),
                _entry(kind),
                _phase_tip(bar, kind, phase.seconds),
            )
            for phase in sorted(bar.phases, key=lambda phase: (phase.start_s, -phase.seconds))
            for kind in [phase_of(phase.phase)]
        ]
        for low_s, gap_end_s in bar.unexplained:
            shapes.append(Bar(low_s, gap_end_s, "", UNEXPLAINED, f"{bar.label}\n{UNEXPLAINED}: {duration_text(gap_end_s - low_s)}"))
        value_at = _end_s(bar)
        if bar.shutdown_s:  # it happens later, at the end of the epoch
            begin_s = value_at + _SHUTDOWN_GAP_SHARE * high_s
            value_at = begin_s + bar.shutdown_s
            tip = _phase_tip(bar, SHUTDOWN, bar.shutdown_s)
            shapes.append(Bar(begin_s, value_at, _colour(SHUTDOWN, plot.palette), _entry(SHUTDOWN), tip, part=(0.25, 0.75)))
        told = duration_text(bar.first_batch_s) if bar.first_batch_s is not None else ""
        tip = f"{bar.label}\nfirst batch after {duration_text(bar.first_batch_s)}"
        short = bar.label.replace(" workers · ", " × ").replace(" worker · ", " × ")
        text = BarText(told, value_at)
        rows.append(Row(bar.label, tuple(shapes), tip, values=(text,), mark_at=bar.first_batch_s, trial=bar.trial, short_label=short))
    plot.set_rows(rows, seconds_axis(data.title, high_s, tip=TIME_TIP))


def _end_s(bar: StartupBar) -> float:
    return max([phase.start_s + phase.seconds for phase in bar.phases] + [bar.first_batch_s or 0.0])


def _colour(kind: StartupPhase, palette: Palette) -> str:
    return palette.role(kind.group.role)


def _entry(kind: StartupPhase) -> str:
    return group_title(kind.group)


def _legend(data: StartupData, palette: Palette) -> list[tuple[str, str]]:
    """Names and colours that occur, an open box for what is unexplained."""
    total = sum(phase.seconds for bar in data.bars for phase in bar.phases) or 1.0
    seconds = dict.fromkeys(GROUPS, 0.0)
    for bar in data.bars:
        for phase in bar.phases:
            seconds[phase_of(phase.phase).group] += phase.seconds
    shown = [group for group in GROUPS if seconds[group] > total * 0.002]
    if any(bar.shutdown_s for bar in data.bars) and SHUTDOWN.group not in shown:
        shown.append(SHUTDOWN.group)
    entries = [(group_title(group), palette.role(group.role)) for group in shown]
    if sum(high - low for bar in data.bars for low, high in bar.unexplained) > total * 0.002:
        entries.append((UNEXPLAINED, ""))
    return entries


def _phase_tip(bar: StartupBar, kind: StartupPhase, seconds: float) -> str:
    return "\n".join(part for part in (bar.label, f"{kind.title}: {duration_text(seconds)}", kind.tip) if part)


STARTUP = ChartKind(draw_startup, lambda data: "" if data.bars else EMPTY, told_startup)
