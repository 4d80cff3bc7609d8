"""The operators of an exact window, as text for a terminal."""

from __future__ import annotations

from typing import Any

from loaderscope.cli.terminal.text_columns import align, wrap
from loaderscope.facts.text import duration_text, share_text

MAX_OPERATORS = 12
NAME_COLUMNS = 48


def format_window(window: dict[str, Any], setting: str, width: int) -> str:
    """Returns the heaviest operators of a window, and the share of it in which the GPU was busy.

    Args:
        window: the `gpu_window` of a trial.
        setting: the trial's setting in words.
        width: columns of the terminal.
    """
    heading = f"Exact window ({setting})"
    if not window["steps"]:
        return wrap(f"{heading}: {window['reason']}.", width, "  ")
    heading += f": {window['steps']} profiled steps, {duration_text(window['seconds'])}"
    busy = f"the GPU was busy {share_text(window['busy_share'])}" if window["busy_share"] is not None else window["reason"]
    has_device = any(operator["self_device_s"] for operator in window["operators"])
    rows = [["operator", "calls", "CPU itself", *(["device itself"] if has_device else [])]]
    for operator in window["operators"][:MAX_OPERATORS]:
        device = [_milliseconds(operator["self_device_s"])] if has_device else []
        rows.append([_shortened(operator["name"]), str(operator["calls"]), _milliseconds(operator["self_cpu_s"]), *device])
    lines = [line[:width].rstrip() for line in align(rows, left={0})] if len(rows) > 1 else []
    return "\n".join([wrap(f"{heading}; {busy}", width, "  "), *lines])


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _shortened(name: str) -> str:
    return name if len(name) <= NAME_COLUMNS else name[: NAME_COLUMNS - 1] + "…"
