"""Records a training as it runs: every DataLoader that the script iterates, in a log folder of its own.

The script runs as without us; only its environment names this. A fault of ours ends the recording, and the training goes on.
"""

from __future__ import annotations

import _thread
import os
import sys

from .import_hook import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes a child's Python some milliseconds
    from typing import Any, Dict, List, Tuple

    from .loader_recording import LoaderRecording

VARIABLE = "LOADERSCOPE_RECORD"
"""The folder of the recording; set in the environment of the script and of all that it starts."""


def start() -> None:
    """Records the loaders of this process from now on, if its environment asks for it."""
    folder = os.environ.get(VARIABLE)
    if folder:
        when_imported("torch.utils.data.dataloader", lambda module: _install(folder))


_recordings: "Dict[Tuple[Any, ...], List[LoaderRecording]]" = {}
"""By the place where a loader is made: several where a line makes loaders that are iterated at once."""
_lock = _thread.RLock()  # a signal handler, or `__len__` of a dataset, may iterate a loader meanwhile
_has_ended = False


def _install(folder: str) -> None:
    from . import made_loaders

    try:
        made_loaders.install()
        made_loaders.set_iteration_callback(lambda loader: _begin_epoch(folder, loader))
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_leave_logs_to_parent)
    except Exception as error:
        _give_up(error)


def _leave_logs_to_parent() -> None:
    """Starts a forked child without recordings: the logs are its parent's, whose iterators may go on here."""
    global _lock
    for recording in _all_recordings():
        recording.end(closes_log=False)
    _recordings.clear()
    _lock = _thread.RLock()


def _all_recordings() -> "List[LoaderRecording]":
    return [recording for recordings in list(_recordings.values()) for recording in recordings]


def _begin_epoch(folder: str, loader: "Any") -> None:
    from . import recorder

    if _has_ended or recorder.threads.activity.in_users_code:  # a loader in a dataset's own code
        return
    try:
        from . import main_line

        with _lock:
            recording = _recording_of(folder, loader)
        recorder.activate(recording)
        recording.begin_epoch(loader)
        if recording.is_in_main_thread:
            main_line.start(_give_up)
    except Exception as error:
        _give_up(error)


def _recording_of(folder: str, loader: "Any") -> "LoaderRecording":
    from . import instrument, loader_description, loader_recording, made_loaders, optimizer_marks, recorder

    call = made_loaders.constructor_call_of(loader)
    place = call.place if call is not None else None
    recordings = _recordings.setdefault((place.file, place.line) if place is not None else (id(loader),), [])
    for recording in recordings:
        if recording.can_take(loader):
            return recording
    description = loader_description.describe(loader, instrument.install())  # once the script's own imports are done
    log_dir = os.path.join(folder, "%d-%d" % (os.getpid(), len(_all_recordings())))
    os.mkdir(log_dir)  # fails where the app was killed, and a later one has removed its folder
    loader_description.write(log_dir, description)
    plan = recorder.Plan(log_dir, 0.0, True)
    log = recorder.open_loader_log(plan)
    optimizer_marks.install()
    recordings.append(loader_recording.LoaderRecording(loader, plan, log, description, _give_up))
    return recordings[-1]


def _give_up(error: Exception) -> None:
    """Ends the recording of this process by a fault of ours; the training goes on."""
    _end_recording()
    try:
        sys.stderr.write("loaderscope: this process is not recorded any more: %s: %s\n" % (type(error).__name__, error))
    except Exception:  # the script has closed it
        pass


def _end_recording() -> None:
    global _has_ended
    from . import instrument, made_loaders, main_line, optimizer_marks, recorder

    _has_ended = True
    made_loaders.set_iteration_callback(None)
    instrument.uninstall()
    optimizer_marks.uninstall()
    main_line.stop()
    recorder.close_log()
    for recording in _all_recordings():
        recording.end()
