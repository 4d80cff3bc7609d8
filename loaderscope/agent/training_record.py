"""Records a training as it runs: every DataLoader that the script iterates, in a log folder of its own.

The script runs as without us; only its environment names this. This module loads the rest when the script iterates its first loader.
"""

from __future__ import annotations

import _thread
import os
import sys

from .import_hook import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes a child's Python some milliseconds
    from typing import Any

VARIABLE = "LOADERSCOPE_RECORD"
"""The folder of the recording; set in the environment of the script and of all that it starts."""

LINES_VARIABLE = "LOADERSCOPE_LINES"
"""Set where a window shows what the script prints: each line appears when it is printed, as in a terminal."""


def start() -> None:
    """Records the loaders of this process from now on, if its environment asks for it."""
    folder = os.environ.get(VARIABLE)
    if folder:
        if os.environ.get(LINES_VARIABLE) and sys.stdout is not None:
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        when_imported("torch.utils.data.dataloader", lambda module: _install(folder))


_recording: "Any" = None
_lock = _thread.RLock()


def _install(folder: str) -> None:
    from . import made_loaders

    try:
        made_loaders.install()
        made_loaders.set_iteration_callback(lambda loader: _begin(folder, loader))
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_renew_lock)
    except Exception as error:
        _report_fault(error)


def _renew_lock() -> None:
    global _lock
    _lock = _thread.RLock()  # another thread may have held it during the fork


def _begin(folder: str, loader: "Any") -> None:
    """Begins the recording of this process, with the epoch of the first loader that it iterates; two threads may do so at once."""
    global _recording
    from . import made_loaders
    from .user_frames import is_of_signal_handler

    try:
        with _lock:
            if _recording is None:
                from .process_recording import ProcessRecording

                _recording = ProcessRecording(folder, _report_fault)
                made_loaders.set_iteration_callback(_recording.begin_epoch)
    except Exception as error:
        if is_of_signal_handler(error):
            raise
        made_loaders.set_iteration_callback(None)
        _report_fault(error)
        return
    _recording.begin_epoch(loader)


def _report_fault(error: Exception) -> None:
    """Says that a fault of ours has ended the recording of this process."""
    try:
        sys.stderr.write("loaderscope: this process is not recorded any more: %s: %s\n" % (type(error).__name__, error))
    except Exception:  # the script has closed it
        pass
