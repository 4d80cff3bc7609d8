"""Records a training as it runs: every DataLoader that the script iterates, in a log folder of its own.

The script runs as without us; only its environment names this. A fault of ours ends the recording, and the training goes on.
"""

from __future__ import annotations

import os
import sys

from .import_hook import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes a child's Python some milliseconds
    from typing import Any, Dict, Optional, Tuple

VARIABLE = "LOADERSCOPE_RECORD"
"""The folder of the recording; set in the environment of the script and of all that it starts."""

LOADER_FILE = "loader.json"
"""Describes a loader, in the folder of its logs: `describe` says what is in it."""


def start() -> None:
    """Records the loaders of this process from now on, if its environment asks for it."""
    folder = os.environ.get(VARIABLE)
    if folder:
        when_imported("torch.utils.data.dataloader", lambda module: _install(folder))


class LoaderRecording:
    """One loader of the training, or several that the same line made, one after another.

    Attributes:
        state: what `recorder` keeps for this loader while another one is active.
    """

    def __init__(self, state: "Dict[str, Any]", folder: str) -> None:
        self.state = state
        self._folder = folder
        self._open_epoch = -1
        self._batch_count = 0
        self._step_batch = -1  # whose step runs now; -1: none
        self._step_count = 0
        self._clock: "Any" = None  # of the device that the steps use, once that is known
        self._before: "Optional[Tuple[Any, Any]]" = None  # the events before the step that runs now

    def begin_epoch(self) -> None:
        """Begins the epoch whose iterator is about to be made; an epoch that was left early ends here."""
        from . import recorder
        from .layout import State

        self.end_epoch()
        self._open_epoch, self._batch_count = recorder.epoch + 1, 0
        recorder.begin(State.EPOCH, self._open_epoch)

    def end_epoch(self) -> None:
        """Ends the epoch that is open, and its step."""
        from . import recorder
        from .layout import State

        self.end_step()
        if self._open_epoch >= 0:
            recorder.end(State.EPOCH, self._open_epoch, self._batch_count)
            self._open_epoch = -1

    def begin_step(self, batch: int) -> None:
        """Begins what the script does with a batch, until it asks for the next; -1: it got none."""
        from . import recorder
        from .layout import State

        if batch < 0:
            return
        self._batch_count += 1
        self._step_batch = batch
        if self._clock is not None and self._clock.has_anchor:
            try:
                self._before = self._clock.mark(), self._clock.mark_step_streams()
            except Exception:  # the script's next call tells it what is wrong with its device
                self._clock = None
        recorder.begin(State.STEP, batch)

    def end_step(self) -> None:
        """Ends the step that runs, if one does."""
        from . import recorder
        from .layout import State

        if self._step_batch < 0:
            return
        recorder.end(State.STEP, self._step_batch)
        try:
            self._mark_on_device()
        except Exception:
            self._clock = None
        self._step_batch, self._before = -1, None

    def _mark_on_device(self) -> None:
        """Lets the clock know of a step that has ended on the host; after some steps looks for the device that they use."""
        from .layout import batch_of_epoch

        self._step_count += 1
        if self._clock is None:
            if self._step_count in _STEPS_BEFORE_LOOK:
                self._clock = _device_clock(self._folder)
            return
        if self._before is not None:
            before, others_before = self._before
            stepped = self._clock.since(before)
            others = self._clock.since_on_step_streams(before, others_before)
            self._clock.add(batch_of_epoch(self._open_epoch, self._step_batch), None, stepped, others)
        self._clock.poll()


_STEPS_BEFORE_LOOK = (1, 10, 100)
"""After so many steps of a loader their device is looked for: the first may be the first to move models there."""


def _device_clock(folder: str) -> "Any":
    """Returns a clock for the device that this process uses, or None; tells the app about all devices in use."""
    from . import used_devices
    from .device import DeviceClock
    from .device_choice import device_of_trial, side_stream
    from .messages import Consumer, TrialConfig, TrialOrder

    used_devices.write_devices(TrialOrder(0, folder, TrialConfig(0), consumer=Consumer("script")))
    device, _reason = device_of_trial(None)
    return None if device is None or side_stream(device) is None else DeviceClock(device, waits=False)


_recordings: "Dict[Tuple[Any, ...], LoaderRecording]" = {}
_pid = 0
_has_failed = False


def _install(folder: str) -> None:
    from . import made_loaders

    try:
        made_loaders.install()
        made_loaders.set_iteration_callback(lambda loader: _begin_epoch(folder, loader))
    except Exception as error:
        _give_up(error)


def _begin_epoch(folder: str, loader: "Any") -> None:
    from . import recorder

    if _has_failed or recorder.threads.activity.in_users_code:  # a loader in a dataset's own code
        return
    try:
        recording = _recording_of(folder, loader)
        recorder.activate(recording)
        recording.begin_epoch()
    except Exception as error:
        _give_up(error)


def _recording_of(folder: str, loader: "Any") -> LoaderRecording:
    from . import instrument, made_loaders, recorder
    from .layout import Role

    global _pid
    if _pid != os.getpid():  # forked: the parent's logs are not ours
        _pid = os.getpid()
        _recordings.clear()
    call = made_loaders.constructor_call_of(loader)
    place = call.place if call is not None else None
    key = (place.file, place.line) if place is not None else (id(loader),)
    if key not in _recordings:
        log_dir = os.path.join(folder, "%d-%d" % (_pid, len(_recordings)))
        assumptions = instrument.install()  # once the script's own imports are done
        os.mkdir(log_dir)  # fails where the app was killed, and a later one has removed its folder
        _write_description(os.path.join(log_dir, LOADER_FILE), describe(loader, assumptions))
        recorder.activate(None)
        recorder.open_log(recorder.Plan(log_dir, 0.0, True), Role.MAIN)
        state = {name: getattr(recorder, name) for name in recorder.STATE_OF_A_LOADER}
        _recordings[key] = LoaderRecording(state, folder)
        recorder.loader_recordings.append(_recordings[key])
    return _recordings[key]


def describe(loader: "Any", assumptions: "Any") -> "Dict[str, Any]":
    """Returns what the app shows of a loader: where it is made and iterated, its class, its length in batches, and its settings."""
    import threading

    from . import loaders, made_loaders
    from .torch_environment import torch_environment
    from .user_frames import callers, innermost_user_place

    call = made_loaders.constructor_call_of(loader)
    iterated = innermost_user_place(callers(sys._getframe(1)))
    made = call.place if call is not None else None
    is_map = loaders.dataset_kind(loader.dataset) == "map"  # after len() of another loader torch warns where its data end early
    return {
        "pid": os.getpid(),
        "environment": torch_environment(assumptions),
        "made": None if made is None else "%s:%d" % (made.file, made.line or 0),
        "iterated": None if iterated is None else "%s:%d" % (iterated.file, iterated.line or 0),
        "in_main_thread": threading.current_thread() is threading.main_thread(),
        "reads_ahead": made_loaders.iterates_its_own_way(loader),
        "class": type(loader).__name__,
        "dataset": type(loader.dataset).__name__,
        "length": _length(loader) if is_map else None,
        "samples": _length(loader.dataset) if is_map else None,
        "config": loaders.current_config(loader).to_json(),
    }


def _length(sized: "Any") -> "Optional[int]":
    try:
        return len(sized)
    except Exception:  # whatever the user's own `__len__` raises
        return None


def _write_description(path: str, content: "Dict[str, Any]") -> None:
    import json

    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(path + ".part", path)


def _give_up(error: Exception) -> None:
    """Ends the recording of this process; the training goes on."""
    global _has_failed
    from . import instrument, made_loaders, recorder

    _has_failed = True
    made_loaders.set_iteration_callback(None)
    instrument.uninstall()
    recorder.activate(None)
    sys.stderr.write("loaderscope: this process is not recorded any more: %s: %s\n" % (type(error).__name__, error))
