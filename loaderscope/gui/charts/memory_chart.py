"""Memory of every process over one trial."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np

from loaderscope.analysis.memory_peaks import forecast_bytes
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import Memory
from loaderscope.facts.text import bytes_text
from loaderscope.gui.charts.chart_kind import ChartKind
from loaderscope.gui.charts.plot_parts import Axis, LineStyle, Target, axis_end, smallest_above_zero
from loaderscope.trace.model import Trace

if TYPE_CHECKING:
    from loaderscope.gui.charts.plot import Plot

EMPTY = "Memory of the main process and of each worker over the trial.\nPSS counts shared pages by share, USS only a process's own pages."
SIZE_TIP = (
    "PSS: memory of a process with shared pages counted by share, so that processes can be added up.\n"
    "USS: pages that belong to this process alone, what ending it would free."
)
TIME_TIP = "Time since the trial began"
GROWTH_TIP = (
    "Growth of the workers' own pages (USS; private bytes on Windows) over the longest epoch, with its 95 % interval.\n"
    "After a fork workers share all pages with the main process; reading Python objects changes their reference counts,\n"
    "and each page that is written becomes the worker's own (copy-on-write): USS grows, RSS stays, shared pages shrink."
)
FORECAST_TIP = "The largest sum of this trial, and for each further worker what one of the measured workers had of its own at most."
KINDS_OF_GROWTH = {"copy-on-write": "copy-on-write growth", "new": "growth by new memory"}
MOST_POINTS = 800
_MOST_TARGETS = 60
"""So many points of a line answer the mouse."""
_SOLID_PX, _DASHED_PX = 1.8, 1.1
KINDS = ("pss", "private", "uss", "rss")
"""Prefixes of series keys in the order in which they are preferred for the solid lines."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One process: seconds since the trial's origin and bytes, thinned for drawing."""

    process: str
    kind: str
    times_s: tuple[float, ...]
    bytes: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class MemoryData:
    """What the chart shows.

    Attributes:
        lines: solid.
        dashed: the pages of a process alone (USS).
        reason: why there are none.
        memory: what the analysis of the trial found, once it has ended.
        machine_bytes: memory of the machine.
    """

    lines: tuple[Line, ...] = ()
    dashed: tuple[Line, ...] = ()
    reason: str = ""
    memory: Memory | None = None
    machine_bytes: int | None = None


def memory_data(trace: Trace | None, memory: Memory | None = None, machine_bytes: int | None = None) -> MemoryData:
    """The memory series of a trace, PSS where it could be read, and what was found about them."""
    if trace is None:
        return MemoryData()
    found: dict[str, list[Line]] = {}
    for key in list(trace.series):
        kind, _, process = key.partition("/")
        if kind in KINDS and process:
            line = _line(trace, key, kind, process)
            if line is not None:
                found.setdefault(kind, []).append(line)
    kinds = [kind for kind in KINDS if kind in found]
    if not kinds:
        return MemoryData(reason=next((trace.unavailable[group] for group in ("memory", *KINDS) if group in trace.unavailable), ""))
    order = {"main": -1}
    solid = sorted(found[kinds[0]], key=lambda line: (order.get(line.process, 0), len(line.process), line.process))
    dashed = found.get("uss", []) if kinds[0] != "uss" else []
    return MemoryData(tuple(solid), tuple(dashed), memory=memory, machine_bytes=machine_bytes)


def growth_text(growth: Estimate) -> str:
    """Growth in words, with its interval: +54 MB for 1,000 batches (+53 MB to +55 MB)."""
    text = f"{_signed(growth.value)} for 1,000 batches"
    return text if growth.ci95 is None else f"{text} ({_signed(growth.ci95[0])} to {_signed(growth.ci95[1])})"


def _signed(size: float) -> str:
    text = bytes_text(size)
    return f"+{text}" if size > 0 and text != "0 B" else text.replace("-", "−").replace("−0 B", "0 B")


def notes(data: MemoryData) -> list[tuple[str, str]]:
    """What stands above the lines: pairs of a sentence and its explanation."""
    memory = data.memory
    if memory is None or not memory.workers:
        return []
    growth = memory.growth_bytes_per_1000_batches
    if growth is None:
        found = [(", ".join(filter(None, ("growth: not available", memory.growth_reason))), GROWTH_TIP)]
    else:
        unsure = growth.ci95 is not None and growth.ci95[0] <= 0 <= growth.ci95[1]
        kind = "no sure growth" if unsure else KINDS_OF_GROWTH.get(memory.growth_kind or "", "growth")
        found = [(f"{kind}: {growth_text(growth)}", GROWTH_TIP)]
    measured = len(memory.workers)
    counts = [count for count in (2, 4, 8, 16, 32, 64, 128, 256) if count > measured][:3]
    forecasts = [(count, forecast_bytes(memory, count)) for count in counts]
    texts = [f"{count} workers: ≈ {bytes_text(size)}" for count, size in forecasts if size is not None]
    if texts:
        machine = f"\nThis machine has {bytes_text(data.machine_bytes)}." if data.machine_bytes else ""
        found.append((" · ".join(texts), FORECAST_TIP + machine))
    return found


def _line(trace: Trace, key: str, kind: str, process: str) -> Line | None:
    view = trace.series[key][1].view()
    times, values = view["time_ns"].astype(np.int64, copy=False), view["value"]
    if not len(times):
        return None
    step = max(1, len(times) // MOST_POINTS)
    origin = trace.origin_ns if trace.origin_ns is not None else int(times[0])
    seconds = (times[::step] - np.int64(origin)) / 1e9
    return Line(process, kind, tuple(seconds.tolist()), tuple(values[::step].tolist()))


def told_memory(data: MemoryData) -> str:
    """The chart in words."""
    return "; ".join(f"{_name(line)}: {bytes_text(max(line.bytes))} at most" for line in data.lines) + "."


def draw_memory(plot: Plot, data: MemoryData) -> None:
    """Draws a solid line for each process, and a dashed one for its own pages."""
    everything = data.lines + data.dashed
    colours = itertools.cycle(plot.palette.lines)
    styles = {line.process: LineStyle(colour) for line, colour in zip(data.lines, colours, strict=False)}
    kind = data.lines[0].kind.upper() if data.lines[0].kind != "private" else "private bytes"
    values = [value for line in everything for value in line.bytes]
    first, last = min(0.0, *(line.times_s[0] for line in everything)), max(line.times_s[-1] for line in everything)
    title = f"seconds of the trial · solid {kind}" + (", dashed USS" if data.dashed else "")
    seconds = Axis(title, first, axis_end(max(last, 0.1)), lambda value: f"{value:.4g}", TIME_TIP, "s")
    size = Axis("", 0.0, axis_end(max(values) * 1.02) or 1.0, _size_text, SIZE_TIP, least=smallest_above_zero(values))
    plot.set_axes(seconds, size)
    plot.set_legend((_name(line), styles[line.process].colour) for line in data.lines)
    for sentence, tip in notes(data):
        plot.add_note(sentence, tip)
    for line in data.dashed:
        style = dataclasses.replace(styles[line.process], turn=1) if line.process in styles else LineStyle(plot.palette.muted, 1)
        plot.add_line(_name(line), style, line.times_s, line.bytes, width_px=_DASHED_PX)
    grown = {f"worker-{row.worker}": row.growth_bytes_per_1000_batches for row in data.memory.workers} if data.memory else {}
    for line in data.lines:
        name = _name(line)
        plot.add_line(name, styles[line.process], line.times_s, line.bytes, width_px=_SOLID_PX)
        text = f"{name}: {bytes_text(line.bytes[-1])} at the end, {bytes_text(max(line.bytes))} at most ({kind})"
        growth = grown.get(line.process)
        text += f"\n{growth_text(growth)} of its own pages (USS)" if growth is not None else ""
        step = max(1, len(line.times_s) // _MOST_TARGETS)
        shown = zip(line.times_s[::step], line.bytes[::step], strict=True)
        plot.add_targets([Target((second, second), (value, value), text, name=name) for second, value in shown])


def _name(line: Line) -> str:
    return line.process.replace("-", " ")


def _size_text(value: float) -> str:
    return bytes_text(value) if value else "0"


MEMORY = ChartKind(draw_memory, lambda data: "" if data.lines else data.reason or EMPTY, told_memory)
