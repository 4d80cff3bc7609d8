"""One trial in which the script's own loop takes the batches, until there are enough of them.

The loader that the script iterates gets the values of the setting in place, the script runs on, and the trial ends from inside a
`next` of that loader, in whatever thread that is. Nothing of the script is unwound: the process ends there.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
import weakref
from _thread import allocate_lock
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, NoReturn, Optional, Tuple

from . import (
    guard,
    instrument,
    loader_description,
    loader_in_place,
    loaders,
    made_loaders,
    optimizer_marks,
    process_settings,
    recorder,
    sample_counting,
    trial_failure,
    trials,
    used_devices,
)
from . import torch_internals as internals
from .child_names import names_of_children
from .epoch_count import goes_on
from .error_sentences import UNSUPPORTED, AgentError, describe
from .loader_absence import LoaderAbsence
from .loader_evidence import has_gradients
from .loader_recording import LoaderRecording, kind_of
from .messages import ErrorInfo, TrialOrder, TrialOutcome
from .patches import Patches, hide_frame
from .perfect_loader import NoCeilingError, PerfectBatches
from .sample_counting import ScriptLoopCounter

Message = Dict[str, Any]


class _Epoch(NamedTuple):
    """An epoch that has ended. `is_whole`: the script ended it, or left it, before the limit of the trial did."""

    batches: int
    samples: Optional[int]
    is_whole: bool


class _Recording(LoaderRecording):
    """The recording of the trial's loader: it tells the trial when an epoch ends."""

    is_alone = True
    trial: "TrainingTrial"

    def end_epoch(self) -> None:
        was_open = self.is_open
        super().end_epoch()
        if was_open:
            self.trial.note_epoch(self.batch_count)


class TrainingTrial:
    """The trial of this process, which runs one at most."""

    def __init__(self, order: TrialOrder, finish: Callable[[Message], NoReturn]) -> None:
        """Begins nothing yet.

        Args:
            order: the trial.
            finish: sends the answer to the app, and ends this process and all that it started.
        """
        self._order = order
        self._finish = finish
        self._loader: Callable[[], Any] = _no_loader  # a weak reference: the script may drop its loader
        self._kind: Tuple[Any, ...] = ()  # of the loader as the script made it
        self._place: Any = None  # where the script makes it
        self._namespace: Mapping[str, Any] = {}
        self._failed_batch: Optional[int] = None  # within its epoch, at which the loader raised last
        self._recording: Optional[_Recording] = None
        self._counter: Optional[ScriptLoopCounter] = None
        self._epochs: List[_Epoch] = []
        self._notes: List[str] = []
        self._patches = Patches()
        self._ends = allocate_lock()  # held for ever by whoever ends the trial
        self._pid = 0  # of the process that takes the batches: its children inherit the hooks
        self._absence = LoaderAbsence(order.batches)
        self._is_cutting = False  # whether the trial ends an epoch that the script would go on with
        self._began_in_constructor = False
        self._start_ns = 0
        self._cpu_time: Optional[trials.CpuTime] = None
        self._full_batches: Optional[int] = None
        self._pinned: Optional[bool] = None  # None before the first batch
        self._perfect = None if order.perfect_loader_bytes is None else PerfectBatches(order.perfect_loader_bytes)
        self._epoch_length: Optional[int] = None  # in batches, of a perfect loader; None if unknown, and for the loader itself

    def begin_in_constructor(self, loader: Any) -> None:
        """Begins before the constructor of a loader makes an iterator, with the workers of all epochs.

        Raises:
            AgentError: the loader cannot have this setting.
        """
        self._began_in_constructor = True
        recording = self._prepare(loader)
        recorder.activate(recording)
        recording.begin_epoch(loader)

    def begin(self, feed: trials.Feed) -> None:
        """Begins inside the script's iter() of the loader, which is made when this returns.

        Args:
            feed: the captured loader and the names of the script.

        Raises:
            AgentError: the loader cannot have this setting.
        """
        loader = feed.source
        self._namespace = feed.namespace
        if not self._began_in_constructor:
            if made_loaders.keeps_iterator(loader):
                what = "%s starts its workers in its constructor, in a child of the script, before they can get this setting"
                raise AgentError(UNSUPPORTED, what % type(loader).__name__)
            self._prepare(loader)
        elif loader is not self._loader():
            raise AgentError(UNSUPPORTED, "this run of the script iterates another loader than the run before")
        recording = self._recording
        assert recording is not None
        self._counter = sample_counting.script_loop_counter(self._order.samples_of, feed.namespace, loader)
        self._full_batches = loaders.full_batches_of(loader)
        made_loaders.set_iteration_callback(self._on_iteration)
        self._start_ns, self._cpu_time = time.perf_counter_ns(), trials.CpuTime()
        self._pid, self._absence = os.getpid(), LoaderAbsence(self._order.batches)
        recorder.activate(recording)
        if not self._began_in_constructor:
            recording.begin_epoch(loader)

    def _prepare(self, loader: Any) -> _Recording:
        """Gives the loader its setting, and opens the recording."""
        order = self._order
        call = made_loaders.constructor_call_of(loader)
        self._loader, self._kind, self._place = weakref.ref(loader), kind_of(loader), None if call is None else call.place
        trials.preload_forkserver(order)
        process_settings.apply(order.config)
        self._notes += loader_in_place.give_settings(loader, order.config)
        instrument.uninstall()
        place = internals.find(internals.NEXT)
        if place is not None:  # before the hooks that record waits, so that these include what we do with a batch
            self._patches.wrap(place.owner, place.name, self._wrap_next)
        assumptions = instrument.install()
        plan, log = instrument.open_loader_log(order.log_dir, order.timeout_s, order.config.sharing_strategy)
        description = loader_description.describe(loader, assumptions, 0)
        recording = _Recording(
            loader, plan, log, description=description, bounds=self, end_at_bound=self._end_inside, give_up=self._fail_by_fault
        )
        recording.trial, self._recording = self, recording
        optimizer_marks.install()
        optimizer_marks.set_step_callback(self._note_step)
        return recording

    def _on_iteration(self, loader: Any) -> None:
        recording = self._recording
        if recording is None or recorder.threads.activity.in_users_code:  # a loader in a dataset's own code
            return
        if loader is not self._loader() and self._takes_the_place(loader):
            loader_in_place.give_settings(loader, self._order.config)
            self._loader = weakref.ref(loader)
        if loader is self._loader():
            recorder.activate(recording)
            recording.begin_epoch(loader)
            return
        if recording.is_abandoned:
            recording.end_epoch()
        recorder.activate(None)
        self._absence.note_other(loader, not has_gradients())

    def _takes_the_place(self, loader: Any) -> bool:
        """Whether a loader is a new one of the same kind by the same line, as of a script that makes one for each epoch."""
        call, previous = made_loaders.constructor_call_of(loader), self._loader()
        if call is None or call.place is None or call.place != self._place or kind_of(loader) != self._kind:
            return False
        if made_loaders.keeps_iterator(loader):
            return False
        return previous is None or previous.dataset is loader.dataset

    def _wrap_next(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def __next__(iterator: Any) -> Any:  # noqa: N807 - takes that method's place
            notes, recording = vars(iterator).get("_loaderscope"), self._recording
            if notes is None or recording is None or notes.recording is not recording:
                batch = original(iterator)
                self._note_batch_of_other()
                return batch
            try:
                batch = original(iterator) if self._perfect is None else self._perfect_batch(iterator, original)
            except NoCeilingError as error:
                self._end_without_ceiling(str(error))
            except BaseException as error:
                if isinstance(error, Exception) and not isinstance(error, StopIteration):
                    self._failed_batch = recording.batch_count
                hide_frame(error)
                raise
            self._absence.begin()
            if self._pinned is None:
                self._pinned = trials.can_pin(self._order) and trials.is_pinned(batch)
            if self._counter is not None:
                self._counter.note_batch(batch)
            return batch

        return __next__

    def _perfect_batch(self, iterator: Any, original: Callable[[Any], Any]) -> Any:
        """Returns a batch from memory in place of the iterator's, as many in an epoch as the loader has; fetches them first."""
        perfect, recording = self._perfect, self._recording
        assert perfect is not None and recording is not None
        if not len(perfect):
            if perfect.fetch(lambda: original(iterator), trials.longest_fetch_s(self._order)):
                self._epoch_length = len(perfect)
            elif not self._began_in_constructor:  # one iterator goes on through all epochs
                self._epoch_length = _length(iterator)
            iterator._num_yielded = 0
        if not len(perfect) or recording.batch_count == self._epoch_length:
            raise StopIteration
        iterator._num_yielded += 1  # the number of the batch, for the hooks and for torch
        return perfect.next()

    def note_epoch(self, batches: int) -> None:
        """Notes an epoch that has ended, and ends the trial if no other is to follow."""
        samples = None if self._counter is None else self._counter.end_epoch(batches)
        self._epochs.append(_Epoch(batches, samples, not self._is_cutting))
        self._absence.note_epoch(batches)
        if not self._ends.locked() and not self._goes_on():
            self._end_inside()

    def _goes_on(self) -> bool:
        order = self._order
        longest = max(epoch.batches for epoch in self._epochs)
        are_short = order.enough_batches is not None and 0 < longest < order.enough_batches
        return goes_on(order.epochs, len(self._epochs), (time.perf_counter_ns() - self._start_ns) / 1e9, are_short)

    def count_batch(self) -> None:
        """Does nothing: the recording counts the batches of its epochs."""

    def are_reached(self) -> bool:
        """Whether this is the last epoch, and the script has taken enough batches of it; not while the trial ends already."""
        limit, recording = self._order.batches, self._recording
        if limit is None or recording is None or recording.batch_count < limit or self._ends.locked():
            return False
        return len(self._epochs) + 1 >= (self._order.epochs or 1)

    def _end_inside(self) -> NoReturn:
        """Ends the trial inside a `next` or an iter() of the loader."""
        self._take_end()
        self._is_cutting = True
        self._finish_with(self._answer)

    def _note_step(self) -> None:
        absence, recording = self._absence, self._recording
        absence.steps += 1
        if absence.steps > (self._order.batches or 0) or (recording is not None and not recording.is_open):
            self.end_if_left()

    def _note_batch_of_other(self) -> None:
        activity = recorder.threads.activity
        if activity.in_users_code or activity.in_loader:  # a loader in a dataset's own code
            return
        self._absence.note_batch_of_other()
        self.end_if_left()

    def end_if_left(self) -> None:
        """Ends the trial if the script seems to have left the loader for good: the rest of its training must not run.

        Any thread of this process may call it.
        """
        recording = self._recording
        if recording is None or self._cpu_time is None or self._ends.locked() or os.getpid() != self._pid:
            return
        is_over = not recording.is_open or recording.is_abandoned
        wait = self._absence.longest_wait(is_over)
        if wait is None:
            return
        self._take_end()
        self._is_cutting = not is_over
        taken = self._batch_count()
        if not taken:
            self._finish(_failed(ErrorInfo(UNSUPPORTED, "the script took no batch of the loader within %s" % wait)))
        words = "The script took no further batch of the loader within %s, so the trial ended after %s."
        self._notes.append(words % (wait, _batches_text(taken)))
        self._finish_with(lambda: self._answer(gave_all=True))

    def _end_without_ceiling(self, reason: str) -> NoReturn:
        """Ends the trial inside a `next` that cannot serve a batch from memory, before the script hears of that."""
        self._take_end()
        outcome = trials.outcome_without_ceiling(reason, (time.perf_counter_ns() - self._start_ns) / 1e9)
        self._finish(_done(outcome))

    def end_after_script(self, failure: Optional[BaseException], info: Optional[ErrorInfo] = None) -> NoReturn:
        """Ends the trial because the script has ended.

        Args:
            failure: the exception that ended the script; None if it came to its end.
            info: describes that exception, with what this process knows of its folder and input.
        """
        self._take_end()
        if failure is not None:
            self._finish(_failed(self._explained(failure, info or describe(failure))))
        if not self._batch_count():
            self._finish(_failed(ErrorInfo(UNSUPPORTED, "the script ended before it took a batch of the loader")))
        self._finish_with(lambda: self._answer(did_script_end=True, gave_all=True))

    def _fail_by_fault(self, error: Exception) -> None:
        self._take_end()
        self._finish(_failed(describe(error)))

    def _take_end(self) -> None:
        """Returns in the one thread that ends the trial."""
        if not self._ends.acquire(False):
            guard.wait_forever()
        made_loaders.set_iteration_callback(None)
        optimizer_marks.set_step_callback(None)

    def _finish_with(self, answer: Callable[[], Message]) -> NoReturn:
        """Sends an answer; a fault in making it is sent in its place, for the script must not go on with it."""
        try:
            message = answer()
        except Exception as error:
            message = _failed(describe(error))
        self._finish(message)

    def _batch_count(self) -> int:
        recording = self._recording
        is_open = recording is not None and recording.is_open
        return sum(epoch.batches for epoch in self._epochs) + (recording.batch_count if recording is not None and is_open else 0)

    def _explained(self, failure: BaseException, info: ErrorInfo) -> ErrorInfo:
        loader = self._loader()
        if isinstance(failure, Exception) and loader is not None:
            feed = trials.Feed(loader, self._namespace)
            feed.failed_batch = self._failed_batch
            explained = trial_failure.explain(failure, feed, self._order)
            info = info if explained.message == describe(failure).message else explained
        taken = self._batch_count()
        words = "%s; the script had taken %s of the loader" % (info.message.rstrip("."), _batches_text(taken))
        return dataclasses.replace(info, message=words)

    def _answer(self, did_script_end: bool = False, gave_all: bool = False) -> Message:
        recording, order = self._recording, self._order
        assert recording is not None and self._cpu_time is not None
        seconds, other_threads_share = (time.perf_counter_ns() - self._start_ns) / 1e9, self._cpu_time.other_threads_share()
        try:
            recording.end_epoch()
            device_notes, works_unseen = recording.finish_device()
        except RuntimeError as error:  # work of the step failed on the device
            return _failed(describe(error))
        used_devices.write_devices(order)
        epochs, notes = self._epochs, [*self._notes, *device_notes]
        if did_script_end and not all(epoch.batches >= (order.batches or 0) for epoch in epochs):
            notes.append("The script ended after %s of the loader." % _batches_text(self._batch_count()))
        if self._perfect is not None:
            notes += self._perfect.notes(seconds / max(1, self._batch_count()))
        full_batches = self._full_batches
        if len(epochs) > 1 and full_batches is not None and all(epoch.batches < full_batches for epoch in epochs):
            full_batches = max(epoch.batches for epoch in epochs)  # the loop leaves each epoch early
        recorded = instrument.stop_recording()
        if recorded.stopped is not None:
            notes.append(recorded.stopped)
        starts_workers = self._began_in_constructor and order.config.num_workers > 0
        outcome = TrialOutcome(
            seconds=seconds,
            batches=sum(epoch.batches for epoch in epochs),
            samples=sum(epoch.samples or 0 for epoch in epochs) if all(epoch.samples is not None for epoch in epochs) else None,
            epoch_batches=[epoch.batches for epoch in epochs],
            pinned=bool(self._pinned),
            ran_user_code=True,
            fingerprint=None,
            event_seconds=recorded.seconds_estimate,
            other_threads_share=other_threads_share,
            keeps_workers=starts_workers,
            works_unseen=works_unseen,
            full_batches=full_batches,
            whole_epochs=[epoch.is_whole for epoch in epochs],
            waits_in_main=recording.was_in_main_thread,
            loader_batches=self._full_batches,
            notes=notes,
            child_names=names_of_children(),
            gave_all=gave_all,
        )
        return _done(outcome)


def _done(outcome: TrialOutcome) -> Message:
    return {"type": "trial_done", "status": "ok", "outcome": outcome.to_json()}


def _failed(info: ErrorInfo) -> Message:
    return {"type": "failed", "error": info.to_json()}


def _length(iterator: Any) -> Optional[int]:
    try:
        return len(iterator)
    except TypeError:  # of an iterable dataset
        return None


def _no_loader() -> None:
    return None


def _batches_text(count: int) -> str:
    return "1 batch" if count == 1 else "%d batches" % count


def pending_failure() -> Optional[BaseException]:
    """The exception that ends this process now, as one of its exit functions sees it; None for a normal end."""
    error = sys.exc_info()[1] or getattr(sys, "last_value", None)
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return None
    return error
