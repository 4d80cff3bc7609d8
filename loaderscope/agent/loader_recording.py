"""Records one loader of a training, in a log of its own: its epochs, and the steps that the script does with its batches."""

from __future__ import annotations

import _thread
import os
import threading
import weakref
from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple

from . import loader_description, loaders, recorder, used_devices
from .device import DeviceClock
from .device_choice import device_of_trial, side_stream
from .eventlog import EventLog, drop_record
from .layout import State, batch_of_epoch
from .messages import Consumer, TrialConfig, TrialOrder

_EPOCH_BEGIN, _EPOCH_END = recorder.kinds(State.EPOCH)
_STEP_BEGIN, _STEP_END = recorder.kinds(State.STEP)


class Bounds(Protocol):
    """Decides when a recording ends."""

    def count_batch(self) -> None:
        """Counts a batch that the script gets."""

    def are_reached(self) -> bool:
        """Whether the recording is to end now."""


class LoaderRecording:
    """One loader of the training, or several that the same line made, one after another.

    Attributes:
        plan: for its workers.
        log: of this process for this loader.
        write, write_at, write_since: those of the log.
        epoch: number of the newest epoch; -1 before the first.
        iterator: a weak reference to the newest iterator.
        has_ended: whether nothing of it is recorded any more.
        loader: a weak reference to the loader.
        give_up: ends the recording of this process because of a fault of ours.
        is_alone: whether no other loader of the script is recorded.
        is_in_main_thread: whether the thread that took a batch last, or began an epoch, is the main thread.
    """

    is_alone = False

    def __init__(
        self,
        loader: Any,
        plan: recorder.Plan,
        log: EventLog,
        *,
        description: Dict[str, Any],
        bounds: Optional[Bounds],
        end_at_bound: Callable[[], None],
        give_up: Callable[[Exception], None],
    ) -> None:
        """Writes nothing yet.

        Args:
            loader: the loader.
            plan: for its workers.
            log: of this process for this loader.
            description: of the loader, as it is written beside its logs.
            bounds: of the recording of this process; None where there are none.
            end_at_bound: called when a bound is reached; ends the recording of this process.
            give_up: ends it because of a fault of ours.
        """
        self.plan, self.log = plan, log
        self.write, self.write_at, self.write_since = log.write, log.write_at, log.write_since
        self.epoch = -1
        self.iterator: Any = None
        self.has_ended = False
        self.loader = weakref.ref(loader)
        self._description = description
        self._bounds, self._end_at_bound, self.give_up = bounds, end_at_bound, give_up
        self.is_in_main_thread = False
        self._kind, self._dataset = kind_of(loader), _reference(loader.dataset)
        self._thread = 0  # that iterates the newest epoch
        self._is_open = False  # whether an epoch is
        self._has_iterator = False  # whether that epoch has
        self._batch_count = 0
        self._step_batch = -1  # whose step runs now; -1: none
        self._step_count = 0
        self._clock: Any = None  # of the device that the steps use, once that is known
        self._before: Optional[Tuple[Any, Any]] = None  # the events before the step that runs now

    def can_take(self, loader: Any) -> bool:
        """Whether this thread may begin an epoch of `loader` here, because no other iterator is in use."""
        if not self._is_open:
            return True
        is_same = self.loader() is loader
        if not self._has_iterator:
            return is_same  # a loader that hands its own iter() on to torch's, perhaps in another thread
        if self.iterator is not None and self.iterator() is None:
            return True
        return is_same and self._thread == _thread.get_ident()

    @property
    def is_open(self) -> bool:
        """Whether an epoch is open."""
        return self._is_open

    @property
    def batch_count(self) -> int:
        """The batches of the newest epoch."""
        return self._batch_count

    @property
    def was_in_main_thread(self) -> bool:
        """Whether the main thread alone has iterated the loader."""
        return bool(self._description["in_main_thread"])

    @property
    def is_abandoned(self) -> bool:
        """Whether an epoch is open whose iterator is gone, as after a `break`: then what runs now is no step of it."""
        return self._is_open and self.iterator is not None and self.iterator() is None

    def is_like(self, loader: Any) -> bool:
        """Whether `loader` is the loader of this recording, or one like it that takes its place.

        A function of the script may make all its loaders, those for training and those for evaluation: they have other settings, or
        other datasets, which exist at the same time.
        """
        if self._kind != kind_of(loader):
            return False
        previous = self.loader()
        dataset = self._dataset() if previous is None else previous.dataset
        return previous is loader or dataset is None or dataset is loader.dataset

    def note_thread(self) -> None:
        """Notes in the description for the app that another thread than the main thread iterates the loader."""
        self._thread = _thread.get_ident()
        self.is_in_main_thread = self._thread == threading.main_thread().ident
        if self._description["in_main_thread"] and not self.is_in_main_thread:
            self._description["in_main_thread"] = False
            try:
                loader_description.write(self.plan.log_dir, self._description)
            except OSError as error:
                self.give_up(error)

    def begin_epoch(self, loader: Any) -> None:
        """Begins the epoch whose iterator is about to be made; an epoch that was left early ends here."""
        self.note_thread()
        if self._is_open and not self._has_iterator:
            return
        self.end_epoch()
        self.loader, self._dataset = weakref.ref(loader), _reference(loader.dataset)
        self.iterator, self._has_iterator = None, False
        self.epoch, self._batch_count, self._is_open = self.epoch + 1, 0, True
        self.write(_EPOCH_BEGIN, self.epoch)

    def begin_iterator(self) -> int:
        """Returns the number of the epoch that an iterator of torch begins; the loader's own `__iter__` may make several."""
        self._has_iterator = True
        return self.epoch

    def end_epoch(self) -> None:
        """Ends the epoch that is open, and its step."""
        self.end_step()
        if self._is_open:
            self._is_open = False
            self.write(_EPOCH_END, self.epoch, self._batch_count)

    def begin_step(self, batch: int) -> None:
        """Begins what the script does with a batch, until it asks for the next; -1: it got none."""
        if batch < 0:
            return
        self._has_iterator = True
        self._batch_count += 1
        self._step_batch = batch
        if self._bounds is not None:
            self._bounds.count_batch()
        if self._clock is not None and self._clock.has_anchor:
            try:
                self._before = self._clock.mark(), self._clock.mark_step_streams()
            except Exception:  # the script's next call tells it what is wrong with its device
                self._clock = None
        self.write(_STEP_BEGIN, batch)

    def end_step(self) -> None:
        """Ends the step that runs, if one does."""
        if self._step_batch < 0:
            return
        self.write(_STEP_END, self._step_batch)
        try:
            self._mark_on_device()
        except Exception:
            self._clock = None
        self._step_batch, self._before = -1, None
        if self._bounds is not None and self._bounds.are_reached():
            self._end_at_bound()

    def end(self, closes_log: bool = True) -> None:
        """Drops all records from now on; a forked child leaves the log to its parent."""
        self.has_ended = True
        self.write = self.write_at = self.write_since = drop_record
        if closes_log:
            self.log.close()

    def finish_device(self) -> Tuple[List[str], bool]:
        """Waits for the device that the steps use, if they use one, and records what it still did.

        Returns:
            Sentences about what the device's times leave out, and whether the device also worked on streams that nobody names.

        Raises:
            RuntimeError: work of the script failed on the device.
        """
        clock = self._clock
        if clock is None:
            return [], False
        clock.finish()
        return [note for note in (clock.lower_bound_note, clock.failure) if note], bool(clock.lower_bound_note)

    def _mark_on_device(self) -> None:
        """Lets the clock know of a step that has ended on the host; after some steps looks for the device that they use."""
        self._step_count += 1
        if self._clock is None:
            if self._step_count in _STEPS_BEFORE_LOOK:
                self._clock = _device_clock(os.path.dirname(self.plan.log_dir))
            return
        if self._before is not None:
            before, others_before = self._before
            stepped = self._clock.since(before)
            others = self._clock.since_on_step_streams(before, others_before)
            self._clock.add(batch_of_epoch(self.epoch, self._step_batch), None, stepped, others)
        self._clock.poll()


def kind_of(loader: Any) -> Tuple[Any, ...]:
    """Returns what loaders have in common of which one may take the place of another: settings and classes."""
    return loaders.current_config(loader), type(loader.dataset), type(loader.sampler)


def _reference(dataset: Any) -> Callable[[], Any]:
    """Returns a weak reference to a dataset; that of a list, which has none, refers to nothing."""
    try:
        return weakref.ref(dataset)
    except TypeError:
        return _no_dataset


def _no_dataset() -> None:
    return None


_STEPS_BEFORE_LOOK = (1, 10, 100)
"""After so many steps of a loader their device is looked for: the first may be the first to move models there."""


def _device_clock(folder: str) -> Optional[DeviceClock]:
    """Returns a clock for the device that this process uses, or None; tells the app about all devices in use."""
    used_devices.write_devices(TrialOrder(0, folder, TrialConfig(0), consumer=Consumer("script")))
    device, _reason = device_of_trial(None)
    return None if device is None or side_stream(device) is None else DeviceClock(device, waits=False)
