"""Records the loaders of this process in a recorded training, each in a log folder of its own.

A fault of ours ends the recording, and the training goes on.
"""

from __future__ import annotations

import _thread
import atexit
import os
from typing import Any, Callable, Dict, List, Tuple

from . import instrument, leftovers, loader_description, made_loaders, main_line, optimizer_marks, record_bounds, recorder
from .loader_recording import LoaderRecording
from .user_frames import is_of_signal_handler

_MOST_RECORDINGS = 64
"""In one process, each of which keeps a file open and takes at least a segment on the disk; more loaders share those that there are."""
_MOST_AT_ONE_LINE = 8
"""A script may make a loader for each of 1000 parts of its data."""
OTHER_LOADERS_CLASS = "other loaders"
_OTHER_LOADERS = (OTHER_LOADERS_CLASS,)


class ProcessRecording:
    """The recording of this process; a forked child goes on with this object, and with none of the loaders.

    Attributes:
        bounds: None where there are none.
    """

    def __init__(self, folder: str, report_fault: Callable[[Exception], None]) -> None:
        """Records nothing yet.

        Args:
            folder: of the whole recording.
            report_fault: gets the fault of ours that has ended the recording.
        """
        self.bounds = record_bounds.bounds_of_process()
        self._folder, self._report_fault = folder, report_fault
        self._has_ended = False
        self._loaders: Dict[Tuple[Any, ...], List[LoaderRecording]] = {}  # by the place where they are made
        self._lock = _thread.RLock()  # a signal handler, or `__len__` of a dataset, may iterate a loader meanwhile
        atexit.register(self.end_without_app)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_logs_to_parent)

    def begin_epoch(self, loader: Any) -> None:
        """Begins an epoch of a loader, in the thread that iterates it."""
        if self._has_ended or recorder.threads.activity.in_users_code:  # a loader in a dataset's own code
            return
        try:
            if self.end_without_app():
                return
            if self.bounds is not None and self.bounds.are_reached():
                self.end_at_bound()
                return
            with self._lock:
                recording = self._recording_of(loader)
                for other in self._all_loaders():
                    if other is not recording and other.is_abandoned:
                        other.end_epoch()
            recorder.activate(recording)
            recording.begin_epoch(loader)
            if recording.is_in_main_thread:
                main_line.start(self.give_up, self.end_without_app)
        except Exception as error:
            if is_of_signal_handler(error):
                raise
            self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Ends the recording of this process by a fault of ours."""
        self._end()
        self._report_fault(error)

    def end_without_app(self) -> bool:
        """Ends the recording if the app has ended, and removes its temporary files; returns whether it did."""
        is_gone = record_bounds.app_is_gone()
        if is_gone:
            self._end()
            leftovers.remove_folder(os.path.dirname(self._folder))
        return is_gone

    def end_at_bound(self) -> None:
        """Ends the recording because a bound is reached; iterators go on unrecorded."""
        if self._has_ended:
            return
        self._has_ended = True
        for recording in self._all_loaders():
            recording.end_epoch()
        self._end()
        record_bounds.note_end(self._folder)

    def _recording_of(self, loader: Any) -> LoaderRecording:
        """Returns the recording of a loader, or of an earlier one like it that the same line made; makes it if there is none to use."""
        count, line = len(self._all_loaders()), _line_of(loader)
        if count >= _MOST_RECORDINGS and line not in self._loaders:
            line = _OTHER_LOADERS
        made_there = self._loaders.setdefault(line, [])
        usable = [recording for recording in made_there if recording.can_take(loader)]
        like = next((recording for recording in usable if recording.is_like(loader)), None)
        if like is None and usable and (count >= _MOST_RECORDINGS or len(made_there) >= _MOST_AT_ONE_LINE):
            like = usable[-1]
        if like is not None:
            return like
        description = loader_description.describe(loader, instrument.install(), len(made_there))  # once the script's own imports are done
        if line == _OTHER_LOADERS:
            description.update({"made": None, "iterated": None, "class": OTHER_LOADERS_CLASS})
        log_dir = os.path.join(self._folder, "%d-%d" % (os.getpid(), count))
        os.mkdir(log_dir)  # fails where the app was killed, and a later one has removed its folder
        loader_description.write(log_dir, description)
        plan = recorder.Plan(log_dir, 0.0, True, until_ns=0 if self.bounds is None else self.bounds.until_ns)
        log = recorder.open_loader_log(plan)
        made_there.append(
            LoaderRecording(
                loader, plan, log, description=description, bounds=self.bounds, end_at_bound=self.end_at_bound, give_up=self.give_up
            )
        )
        optimizer_marks.install()
        return made_there[-1]

    def _all_loaders(self) -> List[LoaderRecording]:
        return [recording for made_there in list(self._loaders.values()) for recording in made_there]

    def _leave_logs_to_parent(self) -> None:
        """Starts a forked child without recordings of loaders: the logs are its parent's, whose iterators may go on here."""
        for recording in self._all_loaders():
            recording.end(closes_log=False)
        self._loaders.clear()
        self._lock = _thread.RLock()
        self.bounds = record_bounds.bounds_of_process()

    def _end(self) -> None:
        self._has_ended = True
        made_loaders.set_iteration_callback(None)
        instrument.uninstall()
        optimizer_marks.uninstall()
        main_line.stop()
        recorder.close_log()
        for recording in self._all_loaders():
            recording.end()


def _line_of(loader: Any) -> Tuple[Any, ...]:
    """Returns file and line where a loader is made; what only this loader has, if that is unknown."""
    call = made_loaders.constructor_call_of(loader)
    return (id(loader),) if call is None or call.place is None else (call.place.file, call.place.line)
