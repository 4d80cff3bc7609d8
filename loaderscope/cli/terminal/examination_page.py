"""What `loaderscope doctor` found, on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType

from loaderscope import __version__
from loaderscope.cli.terminal.console import spaced, stacked, unwrapped
from loaderscope.cli.terminal.sentence import Sentence
from loaderscope.facts.text import bytes_text

_LABEL_COLUMNS = 15


def examination_page(examination: dict[str, Any]) -> RenderableType:
    """Returns a line for each fact, and below them the advice.

    Args:
        examination: see `sweep.doctor.examine`.
    """
    facts = (Sentence((label.ljust(_LABEL_COLUMNS), "heading"), text, indent=_LABEL_COLUMNS) for label, text in _facts(examination))
    advice = (Sentence(("! ", "warning"), sentence, indent=2) for sentence in examination["advice"])
    return spaced([stacked([unwrapped(f"Loaderscope {__version__}", "heading"), *facts]), *advice])


def _facts(examination: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns a label and a text for each fact."""
    app, interpreter, machine, nvml = (examination[key] for key in ("app", "interpreter", "machine", "nvml"))
    facts = [
        ("app", f"Python {app['python']}, PySide6 {app['pyside6'] or 'not installed'}, {app['executable']}"),
        ("window", app["window_problem"] or "can be opened"),
        ("interpreter", interpreter["path"]),
    ]
    if interpreter["error"] is not None:
        facts.append(("", interpreter["error"]))
    else:
        gil = " without GIL" if interpreter["free_threaded"] else ""
        cuda = f"{interpreter['cuda_devices']} device(s)" if interpreter["cuda_available"] else "not available"
        methods = ", ".join(interpreter["start_methods"])
        facts += [
            ("", f"Python {interpreter['python']}{gil}, torch {interpreter['torch']} ({interpreter['torch_cuda'] or 'CPU only'})"),
            ("start methods", f"{methods} (default {interpreter['default_start_method']})"),
            ("torch", f"{interpreter['torch_threads']} threads, shares tensors by {interpreter['sharing_strategy']}, CUDA {cuda}"),
        ]
    facts += [
        ("system", machine["platform"]),
        ("processors", f"{machine['usable_cpus']} usable of {machine['cpu_count']}"),
        ("memory", f"{bytes_text(machine['memory_available_bytes'])} free of {bytes_text(machine['memory_total_bytes'])}"),
        ("shared memory", f"{bytes_text(machine['shared_memory_free_bytes'])} free"),
        ("open files", f"{machine['open_files_limit'] or 'no limit'} a process"),
        *[("GPU", f"{gpu['name']}, {bytes_text(gpu['memory_bytes'])}") for gpu in nvml["gpus"]],
    ]
    if nvml["reason"]:
        facts.append(("GPU", f"not available: {nvml['reason']}"))
    others = [other for other in examination["interpreters"] if other["path"] != interpreter["path"]]
    with_torch = [other for other in others if other["torch"] is not None]
    facts += [("also found", f"{other['path']} (Python {other['python']}, torch {other['torch']})") for other in with_torch]
    if len(others) > len(with_torch):
        facts.append(("also found", f"{len(others) - len(with_torch)} interpreters without torch"))
    return facts
