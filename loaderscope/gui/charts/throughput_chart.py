"""Samples per second over num_workers, one line for each setting of the other axes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.measures import BATCH_THROUGHPUT, THROUGHPUT, Measure
from loaderscope.facts.purposes import PERFECT_LOADER
from loaderscope.facts.results import Ceiling, Recommendation, SettingResult
from loaderscope.facts.settings import SETTINGS, same_but, setting_text, value_text, varying_fields
from loaderscope.facts.text import count_text
from loaderscope.gui.charts.chart_kind import ChartKind
from loaderscope.gui.charts.plot_parts import Axis, LineStyle, Target, axis_end, line_styles, smallest_above_zero

if TYPE_CHECKING:
    from loaderscope.gui.charts.plot import Plot

VALUE_TIP = (
    "Steady throughput: without start-up, the first prefetched batches and the end of the epoch.\nThe upright bars are 95 % intervals."
)
WORKERS_TIP = "num_workers: worker processes of the loader; with 0 the main process loads the batches itself"
_MOST_COUNTS = 9
"""With so many numbers of workers, round ones are labelled instead of each."""

_NEAR_CEILING = 3.0
"""A ceiling that is more times as high as the best rate would press all points to the bottom."""

EMPTY = "Throughput by number of workers.\nA point appears as soon as a trial is measured."


@dataclasses.dataclass(frozen=True)
class Point:
    """One setting: workers, throughput with its 95 % interval, and the trial to show for it."""

    workers: int
    value: float
    ci95: tuple[float, float] | None
    config: TrialConfig
    trial: int


NamedLine = tuple[str, tuple[Point, ...]]


@dataclasses.dataclass(frozen=True)
class ThroughputData:
    """What the chart shows.

    Attributes:
        lines: names, each with its points by workers.
        best: the recommended setting.
        best_label: what stands beside its point.
        ties: settings that are as fast, within what can be measured.
        marker: the rule of thumb, in workers.
        measure: the figure, which is in batches where their samples cannot be counted.
        ceiling: the rate of a perfect loader.
    """

    lines: tuple[NamedLine, ...] = ()
    best: TrialConfig | None = None
    best_label: str = ""
    ties: tuple[TrialConfig, ...] = ()
    marker: int | None = None
    measure: Measure = THROUGHPUT
    ceiling: float | None = None


def throughput_data(
    settings: Sequence[SettingResult], recommendation: Recommendation | None, ceiling: Ceiling | None = None
) -> ThroughputData:
    """Lines for all axes but the workers; a setting without workers begins every line it fits to."""
    measure = THROUGHPUT if any(setting.samples_per_second is not None for setting in settings) else BATCH_THROUGHPUT
    measured = [setting for setting in settings if getattr(setting, measure.field) is not None and setting.trials]
    groups: dict[TrialConfig, list[Point]] = {}
    alone: list[tuple[TrialConfig, Point]] = []
    for setting in measured:
        estimate: Estimate = getattr(setting, measure.field)
        point = Point(setting.config.num_workers, estimate.value, estimate.ci95, setting.config, setting.trials[-1])
        if setting.config.num_workers == 0:
            alone.append((setting.config, point))
        else:
            groups.setdefault(dataclasses.replace(setting.config, num_workers=1), []).append(point)
    for config, point in alone:
        fitting = [key for key in groups if same_but("num_workers", key, config)]
        for key in fitting:
            groups[key].append(point)
        if not fitting:
            groups[config] = [point]
    differing = varying_fields(groups) - {"num_workers"}
    lines = tuple(
        (_name(key, differing), tuple(sorted(points, key=lambda point: point.workers)))
        for key, points in sorted(groups.items(), key=lambda item: str(item[0]))
    )
    of_perfect: Estimate | None = getattr(ceiling, measure.field, None)
    ceiling_value = None if of_perfect is None else of_perfect.value
    if recommendation is None:
        return ThroughputData(lines, measure=measure, ceiling=ceiling_value)
    workers = recommendation.config.num_workers
    ties = sorted({tie.num_workers for tie in recommendation.ties} - {workers})
    label = f"{workers}: " + ("best" if recommendation.config == recommendation.fastest or not ties else "best value")
    if ties:
        label += ", ties with " + ", ".join(str(tie) for tie in ties)
    ties_of_best, marker = tuple(recommendation.ties), recommendation.rule_of_thumb
    return ThroughputData(lines, recommendation.config, label, ties_of_best, marker, measure, ceiling_value)


def _name(config: TrialConfig, differing: Collection[str]) -> str:
    """What tells a line from the others, also where it is what goes without saying elsewhere."""
    told = [setting for setting in SETTINGS if setting.field in differing and setting.of(config) is not None]
    words = [setting.word(setting.of(config)) or f"{setting.label} {value_text(setting.of(config))}" for setting in told]
    return " · ".join(words) or "all settings"


def told_throughput(data: ThroughputData) -> str:
    """The chart in words."""
    points = {point.config: point for _, line in data.lines for point in line}
    return "; ".join(f"{setting_text(point.config)}: {data.measure.with_unit(point.value)}" for point in points.values()) + (
        "." if data.ceiling is None else f"; {PERFECT_LOADER.word}: {data.measure.with_unit(data.ceiling)}."
    )


def draw_throughput(plot: Plot, data: ThroughputData) -> None:
    """Draws a line for each setting of the other axes, with intervals, ties, the rule of thumb and the recommended point."""
    points = list(dict.fromkeys(point for _, line in data.lines for point in line))
    lines, faint = _by_rank(data, len(plot.palette.lines))
    styles = line_styles(len(lines), plot.palette)
    most = max(*(point.workers for point in points), data.marker or 0, 1)
    counts = sorted({point.workers for point in points})
    values = [value for point in points for value in (point.value, *(point.ci95 or ()))]
    ticks = tuple(map(float, counts)) if len(counts) < _MOST_COUNTS else None
    workers = Axis("num_workers", -0.04 * most, 1.06 * most, _count_text, WORKERS_TIP, "workers", ticks, has_grid=False)
    is_near = data.ceiling is not None and data.ceiling <= _NEAR_CEILING * max(values)
    highest = max(*values, data.ceiling) if is_near and data.ceiling is not None else max(values)
    top = axis_end(highest * 1.02) or 1.0
    plot.set_axes(workers, Axis("", 0.0, top, _rate_text, VALUE_TIP, data.measure.unit, least=smallest_above_zero(values)))
    entries: list[tuple[str, LineStyle | str]] = [(name, style) for style, (name, _) in zip(styles, lines, strict=True)]
    if faint:
        entries.append((count_text(len(faint), "other line"), plot.palette.waiting_hatch))
        plot.add_faint_points(entries[-1][0], [_targets(line, data) for _, line in faint])
    if len(entries) > 1:
        plot.set_legend(entries)
    if data.ceiling is not None:
        label = f"{PERFECT_LOADER.word}: {data.measure.with_unit(data.ceiling)}"
        plot.add_level(min(data.ceiling, top), label if is_near else f"{label}, far above this chart")
    if data.marker is not None:
        plot.add_upright(data.marker, "rule of thumb 4 × GPUs")
    for style, (name, line) in reversed(list(zip(styles, lines, strict=True))):
        plot.add_points(name, style, _targets(line, data), [point.ci95 for point in line])
    for point in points:
        if point.config == data.best or point.config in data.ties:
            names = frozenset(name for name, line in lines if point in line) or frozenset({entries[-1][0]})
            plot.add_rings(names, [(point.workers, point.value)], is_dotted=point.config != data.best)
    best = next((point for point in points if point.config == data.best), None)
    if best is not None:
        plot.add_label(frozenset(name for name, line in lines if best in line), best.workers, best.value, data.best_label)


def _by_rank(data: ThroughputData, colours: int) -> tuple[list[NamedLine], list[NamedLine]]:
    """The lines that are told apart, and the others: with more than twice as many lines as colours, the quickest and the recommended."""
    lines = list(data.lines)
    if len(lines) <= colours:
        return lines, []
    lines.sort(key=lambda line: max(point.value for point in line[1]), reverse=True)
    if len(lines) <= 2 * colours:
        return lines, []
    at = next((number for number, (_, line) in enumerate(lines) if any(point.config == data.best for point in line)), 0)
    if at >= colours:
        lines.insert(0, lines.pop(at))
    return lines[:colours], lines[colours:]


def _targets(line: Sequence[Point], data: ThroughputData) -> list[Target]:
    return [Target((point.workers, point.workers), (point.value, point.value), _tip(point, data), point.trial) for point in line]


def _count_text(value: float) -> str:
    return f"{value:.3g}"


def _rate_text(value: float) -> str:
    return f"{float(f'{value:.4g}'):g}" if value < 10_000 else f"{float(f'{value / 1000:.4g}'):g}k"


def _tip(point: Point, data: ThroughputData) -> str:
    lines = [setting_text(point.config), data.measure.with_unit(point.value)]
    if point.ci95 is not None:
        lines.append(f"95 % interval {data.measure.text(point.ci95[0])} to {data.measure.text(point.ci95[1])}")
    if point.config == data.best:
        lines.append("recommended")
    elif point.config in data.ties:
        lines.append("as fast as the recommended setting, within what can be measured")
    return "\n".join(lines)


THROUGHPUT_CHART = ChartKind(draw_throughput, lambda data: "" if data.lines else EMPTY, told_throughput)
