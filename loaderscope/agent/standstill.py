"""Stops a child of the script at its first iteration of a DataLoader: it reports, and waits until the app has decided.

It does not end: its parent would take that for the end of a training and run on. The app either ends the whole tree from the
root downwards, or continues the child, which then serves requests from inside that iteration.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any, Dict, Optional

from .error_sentences import Place
from .messages import ADDRESS_VARIABLE, TOKEN_VARIABLE
from .watched_children import REPORT_SUFFIX

ORDER_SUFFIX = ".order"
"""A child reports in the file PID.report, the app orders it to go on in the file PID.order: JSON, in the folder of the search."""

_POLL_S = 0.05


def report_and_wait(folder: str, place: Optional[Place], loader: Any) -> None:
    """Reports, and returns when the app wants this process to serve it; its address and token are then in the environment.

    Signals are blocked meanwhile: `torch.multiprocessing.spawn` interrupts its children when their parent ends.

    Args:
        folder: where to report.
        place: where in the user's code the loader is iterated.
        loader: the loader.
    """
    masked = None
    if hasattr(signal, "pthread_sigmask"):
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    report = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "file": None if place is None else place.file,
        "line": None if place is None else place.line,
        "function": None if place is None else place.function,
        "loader": type(loader).__name__,
        "world_size": _world_size(),
    }
    stem = os.path.join(folder, "%d" % os.getpid())
    try:
        write_whole(stem + REPORT_SUFFIX, report)
    except OSError:
        pass  # the app has ended: whoever cleans up after it finds this process by its mark
    order = None
    while order is None:
        _pause()
        order = _read_order(stem + ORDER_SUFFIX)
    os.environ[ADDRESS_VARIABLE], os.environ[TOKEN_VARIABLE] = order["address"], order["token"]
    if masked is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def write_whole(path: str, content: Dict[str, Any]) -> None:
    """Writes a JSON file that no reader sees half written.

    Raises:
        OSError: it cannot be written.
    """
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(path + ".part", path)


def _read_order(path: str) -> Optional[Dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            order: Dict[str, Any] = json.load(file)
            return order
    except OSError:
        return None


def _pause() -> None:
    """Stops this process until the app continues it; where the system has no such signal, this thread sleeps for a moment."""
    if hasattr(signal, "SIGSTOP"):
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        time.sleep(_POLL_S)


def _world_size() -> int:
    """How many processes train together; 1 where this one knows of no others."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    text = os.environ.get("WORLD_SIZE", "")
    return int(text) if text.isdigit() else 1
