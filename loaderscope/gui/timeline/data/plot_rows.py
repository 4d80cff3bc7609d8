"""The plots for the sampled series of a trace, and the reasons why other figures are missing. No Qt."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

import numpy as np

from loaderscope.facts.lanes import plot_of, plot_rank
from loaderscope.trace.model import NO_GPU_USED, SeriesInfo, Trace

_MEMORY_KINDS = ("pss", "private", "uss", "rss", "commit")
"""Kinds of memory figures, best first: of the kinds that were sampled, the first one is in the main plot. PSS counts shared pages once."""

GPU_PREFIX = "gpu"
_GPU_KEY = re.compile(r"gpu-(\d+)(?:-mig-(\d+))?")


@dataclasses.dataclass(frozen=True)
class PlotRow:
    """The series of one plot."""

    key: str
    label: str
    series: tuple[str, ...]
    unit: str
    is_optional: bool


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why something could not be measured, in one sentence."""

    key: str
    label: str
    text: str


def plot_rows(trace: Trace) -> list[PlotRow]:
    """Returns the plots of a trace from top to bottom."""
    entries = list(trace.series.values())
    kinds = {_kind_of(info) for info, _ in entries if info.group == "memory"}
    main_kind = next((kind for kind in _MEMORY_KINDS if kind in kinds), None)
    by_plot: dict[str, list[SeriesInfo]] = {}
    notable: set[str] = set()
    for info, columns in entries:
        key = _plot_of(info, main_kind)
        by_plot.setdefault(key, []).append(info)
        least = plot_of(key).shown_above
        if least is not None and np.any(np.asarray(columns.view()["value"], np.float64) > least):
            notable.add(key)
    rows = []
    for key in sorted(by_plot, key=plot_rank):
        infos = sorted(by_plot[key], key=lambda info: (info.process != "main", _number(info.process)))
        plot = plot_of(key)
        label = plot_of(f"memory_{main_kind}").title if key == "memory" else plot.title
        is_optional = plot.is_optional or (plot.shown_above is not None and key not in notable)
        rows.append(PlotRow(key, label, tuple(info.key for info in infos), infos[0].unit, is_optional))
    return rows


def reasons(trace: Trace) -> list[Reason]:
    """Returns why figures could not be measured, each reason once.

    Figures of one GPU with the same reason share a row. If no figure of any GPU was sampled, one row stands for all GPUs.
    """
    sampled = {info.group for info, _ in list(trace.series.values())}
    has_gpu = any(group.startswith(GPU_PREFIX) for group in sampled)
    texts: dict[tuple[str, str, str], list[str]] = {}  # figures by key, label and reason
    for key, reason in list(trace.unavailable.items()):
        device, _, figure = key.partition("/")
        if key in sampled or (key == NO_GPU_USED and not has_gpu):
            continue
        if key.startswith(GPU_PREFIX) and not has_gpu:
            texts.setdefault((GPU_PREFIX, "GPU", ""), []).append(reason)
        elif _GPU_KEY.fullmatch(device):
            texts.setdefault((device, gpu_name(device), reason), []).append(figure.replace("_", " "))
        elif key.startswith(GPU_PREFIX):
            texts.setdefault((key, "GPU", reason), []).append("")
        else:
            texts.setdefault((key, plot_of(key).title, reason), []).append("")
    result: list[Reason] = []
    for (key, label, reason), figures in texts.items():
        about = ", ".join(figure for figure in figures if figure)
        text = figures[0] if not reason else f"{about}: {reason}" if about else reason
        taken = sum(other.key.partition(" ")[0] == key for other in result)
        result.append(Reason(f"{key} {taken + 1}" if taken else key, label, text))
    return result


def gpu_name(key: str) -> str:
    """Returns `GPU 0` or `GPU 0 MIG 1` for the key of a GPU or of one of its series."""
    match = _GPU_KEY.match(key)
    if match is None:
        return key
    return f"GPU {match[1]}" + (f" MIG {match[2]}" if match[2] else "")


def series_name(info: SeriesInfo, among: Iterable[SeriesInfo]) -> str:
    """Returns a name that distinguishes a series within its plot: its process, or its GPU and figure."""
    if info.process is not None:
        return info.process.replace("-", " ")
    if _GPU_KEY.match(info.key) is None:
        return info.label
    others = [other for other in among if other.key != info.key]
    figure = info.key.partition("/")[2].replace("sm_", "SM ").replace("_", " ").removeprefix("pcie ").removesuffix("clock").strip()
    same_gpu = any(gpu_name(other.key) == gpu_name(info.key) for other in others)
    other_gpu = any(gpu_name(other.key) != gpu_name(info.key) for other in others)
    return " ".join(part for part in (gpu_name(info.key) if other_gpu or not same_gpu else "", figure if same_gpu else "") if part)


def _plot_of(info: SeriesInfo, main_memory_kind: str | None) -> str:
    """Returns the key of the plot that a series belongs to."""
    if info.group == "memory":
        kind = _kind_of(info)
        return "memory" if kind == main_memory_kind else f"memory_{kind}"
    return _kind_of(info) if info.group == "context_switches" else info.group


def _kind_of(info: SeriesInfo) -> str:
    return info.key.partition("/")[0]


def _number(process: str | None) -> int:
    _, _, number = (process or "").rpartition("-")
    return int(number) if number.isdigit() else -1
