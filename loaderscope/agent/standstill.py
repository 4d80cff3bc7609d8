"""A child of the script at its first iteration of a DataLoader: it reports, and stands still until the app has decided.

It does not end: its parent would take that for the end of a training and go on with what comes after it. The app either ends
the whole tree from the root downwards, or lets the child go on and serve its requests from inside that iteration.
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
"""A child's report is the file PID.report, the app's order to go on the file PID.order, both JSON, in the folder of the look."""

_POLL_S = 0.05


def stand_still(folder: str, place: Optional[Place], loader: Any) -> None:
    """Returns when the app wants to be served from here; its address and token then are in the environment.

    Signals wait meanwhile: `torch.multiprocessing.spawn` has its children interrupted when their parent ends.

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
        pass  # the app has gone: whoever cleans up after it finds this process by its mark
    order = None
    while order is None:
        _pause()
        order = _read(stem + ORDER_SUFFIX)
    os.environ[ADDRESS_VARIABLE], os.environ[TOKEN_VARIABLE] = order["address"], order["token"]
    if masked is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def write_whole(path: str, content: Dict[str, Any]) -> None:
    """Writes a JSON file that is never seen half written.

    Raises:
        OSError: it cannot be written.
    """
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(path + ".part", path)


def _read(path: str) -> Optional[Dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            order: Dict[str, Any] = json.load(file)
            return order
    except OSError:
        return None


def _pause() -> None:
    """Stops all threads of this process until the app continues it; where there is no such signal, only this thread."""
    if hasattr(signal, "SIGSTOP"):
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        time.sleep(_POLL_S)


def _world_size() -> int:
    """How many processes train together, as far as this one knows; 1 where it knows of none."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    told = os.environ.get("WORLD_SIZE", "")
    return int(told) if told.isdigit() else 1
