"""The operators of an exact window, as text for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType

from loaderscope.cli.terminal.sentence import Sentence
from loaderscope.cli.terminal.table import AlignedTable
from loaderscope.facts.text import duration_text, share_text

MAX_OPERATORS = 12
NAME_COLUMNS = 48


def window_section(window: dict[str, Any], setting: str) -> RenderableType:
    """Returns the heaviest operators of a window, and the share of it in which the GPU was busy.

    Args:
        window: the `gpu_window` of a trial.
        setting: the trial's setting in words.
    """
    heading = (f"Exact window ({setting})", "heading")
    if not window["steps"]:
        return Sentence(heading, f": {window['reason']}.", indent=2)
    busy = f"the GPU was busy {share_text(window['busy_share'])}" if window["busy_share"] is not None else window["reason"]
    sentence = Sentence(heading, f": {window['steps']} profiled steps, {duration_text(window['seconds'])}; {busy}", indent=2)
    return Group(sentence, _operators(window["operators"])) if window["operators"] else sentence


def _operators(operators: list[dict[str, Any]]) -> AlignedTable:
    has_device = any(operator["self_device_s"] for operator in operators)
    table = AlignedTable()
    table.add_column("operator", is_text=True)
    for title in ("calls", "CPU itself", *(["device itself"] if has_device else [])):
        table.add_column(title, is_text=False)
    for operator in operators[:MAX_OPERATORS]:
        device = [_milliseconds(operator["self_device_s"])] if has_device else []
        table.add_row(_shortened(operator["name"]), str(operator["calls"]), _milliseconds(operator["self_cpu_s"]), *device)
    return table


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _shortened(name: str) -> str:
    return name if len(name) <= NAME_COLUMNS else name[: NAME_COLUMNS - 1] + "…"
