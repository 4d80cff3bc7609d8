"""The operators of an exact window, as text for a terminal."""

from __future__ import annotations

from typing import Any

from loaderscope.cli.terminal.text_columns import align, wrap
from loaderscope.facts.text import duration_text, share_text

SHOWN = 12


def format_window(window: dict[str, Any], name: str, width: int) -> str:
    """The heaviest operators of a window, with its busy share or the reason why there is none.

    Args:
        window: the `gpu_window` of a trial.
        name: the trial's setting in words.
        width: columns of the terminal.
    """
    head = f"Exact window ({name})"
    if not window["steps"]:
        return wrap(f"{head}: {window['reason']}.", width, "  ")
    head += f": {window['steps']} profiled steps, {duration_text(window['seconds'])}"
    busy = f"the GPU was busy {share_text(window['busy_share'])}" if window["busy_share"] is not None else window["reason"]
    has_device = any(operator["self_device_s"] for operator in window["operators"])
    rows = [["operator", "calls", "CPU itself", *(["device itself"] if has_device else [])]]
    for operator in window["operators"][:SHOWN]:
        device = [_milliseconds(operator["self_device_s"])] if has_device else []
        rows.append([_shortened(operator["name"]), str(operator["calls"]), _milliseconds(operator["self_cpu_s"]), *device])
    lines = [line[:width].rstrip() for line in align(rows, left={0})] if len(rows) > 1 else []
    return "\n".join([wrap(f"{head}; {busy}", width, "  "), *lines])


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _shortened(name: str) -> str:
    return name if len(name) <= 48 else name[:47] + "…"
