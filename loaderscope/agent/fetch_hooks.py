"""Records the inside of a fetch: dataset access, each sample, collate. In a worker, and in main with 0 workers.

Torch's fetcher keeps its class and runs torch's body unchanged, on the user's own dataset and collate_fn. Its list of indices is
replaced by one that records when the body takes the next index, so that each sample is seen.
"""

from __future__ import annotations

import time
import weakref
from typing import Any, Callable, Iterator, List, Optional

from . import recorder
from .layout import THREAD_CPU_UNKNOWN, Role, State
from .patches import Patches, hide_frame
from .torch_internals import CREATE_FETCHER, ITERABLE_FETCH, MAP_FETCH, find

_FETCH_BEGIN, _FETCH_END = recorder.kinds(State.FETCH)
_COLLATE_BEGIN, _COLLATE_END = recorder.kinds(State.COLLATE)
_SAMPLE = recorder.instant_kind(State.SAMPLE)
_DROPPED = recorder.instant_kind(State.DROPPED)

THIN_BELOW_NS = 100_000
"""Where samples take less than this, only some batches are recorded in detail: each sample, and the thread's CPU time.

One record a sample would cost more than 1 % of a 50 µs sample. And when a thread reads its CPU clock, Linux checks its share of
the processor: a thread that competes for one loses it at nearly every reading, sooner than at the scheduler's own ticks.
"""
_DETAIL_EVERY_NS = 4 * THIN_BELOW_NS
"""In such fetches about one sample is recorded for each span of this length."""
_MAX_SKIPPED_BATCHES = 200


def _no_thread_clock() -> int:
    return THREAD_CPU_UNKNOWN


thread_time_ns: Callable[[], int] = getattr(time, "thread_time_ns", _no_thread_clock)


class _RecordedIndices(List[Any]):
    """The indices of a batch; records that a sample's access begins when its index is taken."""

    def __iter__(self) -> Iterator[Any]:
        write, activity = recorder.write, recorder.threads.activity
        batch, thread = activity.batch, activity.thread
        for index in list.__iter__(self):
            write(_SAMPLE, index if type(index) is int else -1, batch, thread)
            yield index


class _FetchNotes:
    """What the hooks know about one fetcher."""

    __slots__ = ("activity", "begin_cpu_ns", "begin_ns", "indices", "samples", "skip_batches")

    def __init__(self) -> None:
        self.skip_batches = 0  # batches left that are not recorded in detail
        self.activity: Optional[recorder.ThreadActivity] = None  # the thread's, while FETCH is open; all below belongs to that span
        self.indices: Any = None
        self.samples = 1
        self.begin_ns = self.begin_cpu_ns = 0

    def end(self, activity: recorder.ThreadActivity) -> None:
        """Ends FETCH; collate calls it, or the fetcher's return where there is no collate."""
        self.activity = None
        if self.skip_batches:
            self.skip_batches -= 1
            recorder.write(_FETCH_END, activity.batch, THREAD_CPU_UNKNOWN, activity.thread)
            return
        cpu_ns = thread_time_ns()
        if cpu_ns != THREAD_CPU_UNKNOWN:
            cpu_ns -= self.begin_cpu_ns
        recorder.write(_FETCH_END, activity.batch, cpu_ns, activity.thread)
        if recorder.plan is not None and recorder.plan.thin_samples:
            sample_ns = (time.perf_counter_ns() - self.begin_ns) // max(self.samples, 1)
            if sample_ns < THIN_BELOW_NS:
                self.skip_batches = min(_DETAIL_EVERY_NS // max(sample_ns, 1), _MAX_SKIPPED_BATCHES)


def install(patches: Patches) -> None:
    """Makes torch's factory of fetchers return observed ones; torch.utils.data must be imported."""
    place = find(CREATE_FETCHER)
    if place is None:
        return
    bodies_known = find(MAP_FETCH) is not None and find(ITERABLE_FETCH) is not None

    def make_wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        def create_fetcher(*args: Any, **kwargs: Any) -> Any:
            looks = bodies_known and len(args) > 1 and _look_at(args[1], args[0] == getattr(place.owner, "Iterable", None))
            try:
                fetcher = original(*args, **kwargs)
            except BaseException as error:  # iter() of the user's dataset
                hide_frame(error)
                raise
            if looks:
                fetcher.collate_fn = _noted_by_look(fetcher.collate_fn)
            if recorder.log is not None:
                _observe(fetcher, bodies_known)
            return fetcher

        return create_fetcher

    patches.wrap(place.owner, place.name, make_wrapper)


def _look_at(dataset: Any, is_iterable: bool) -> bool:
    """Begins to look at an epoch of a worker, in a trial that looks closer; returns whether it did."""
    if recorder.plan is None or not recorder.plan.looks_closer or recorder.log is None or recorder.role != Role.WORKER:
        return False
    from . import worker_look  # its imports must not come before the user's own

    if worker_look.is_looking():  # this is a loader within the dataset
        return False
    worker_look.begin(dataset, hashes_samples=is_iterable)
    return True


def _noted_by_look(collate_fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    from . import worker_look

    def collate(data: Any) -> Any:
        worker_look.note_batch(data)
        try:
            return collate_fn(data)
        except BaseException as error:
            hide_frame(error)
            raise

    return collate


def _observe(fetcher: Any, bodies_known: bool) -> None:
    """Makes a fetcher an observed one; where its body is unknown, FETCH is the whole call, collate included.

    It sets attributes of the object: with another class, torch's body would look up more slowly what it reads for each sample.
    """
    notes = _FetchNotes()
    if bodies_known:
        fetcher.collate_fn = _observed_collate(fetcher.collate_fn, notes)
    fetcher.fetch = _observed_fetch(fetcher, notes, bodies_known)


def _observed_fetch(fetcher: Any, notes: _FetchNotes, bodies_known: bool) -> Callable[[Any], Any]:
    plain_fetch = type(fetcher).fetch
    reference = weakref.ref(fetcher)  # a cycle would put off the end of an iterable dataset's iterator
    in_lists = bodies_known and fetcher.auto_collation
    dataset = fetcher.dataset if in_lists else None

    def fetch(possibly_batched_index: Any) -> Any:
        activity = recorder.threads.activity
        if activity.in_users_code or activity.thread == recorder.NO_THREAD or recorder.log is None:
            return plain_fetch(reference(), possibly_batched_index)
        indices, samples, detailed = possibly_batched_index, 1, notes.skip_batches == 0
        if in_lists and type(indices) is list:
            samples = len(indices)
            if detailed and not getattr(dataset, "__getitems__", None):
                indices = _RecordedIndices(indices)
        dropped = 0
        activity.in_users_code, notes.activity, notes.indices = True, activity, possibly_batched_index
        recorder.write(_FETCH_BEGIN, activity.batch, samples, activity.thread)
        if detailed:
            notes.samples, notes.begin_ns = samples, time.perf_counter_ns()
            notes.begin_cpu_ns = thread_time_ns()
        try:
            return plain_fetch(reference(), indices)
        except BaseException as error:
            hide_frame(error)
            dropped = _dropped_samples(reference(), error)
            raise
        finally:
            if notes.activity is not None:
                notes.end(activity)
            if dropped:
                recorder.write(_DROPPED, activity.batch, dropped, activity.thread)
            activity.in_users_code, notes.indices = False, None

    return fetch


def _dropped_samples(fetcher: Any, error: BaseException) -> int:
    """Samples of an incomplete batch that torch's body drops when an iterable dataset has ended: it holds them in `data`."""
    frame = error.__traceback__.tb_frame if error.__traceback__ is not None else None
    if not (isinstance(error, StopIteration) and frame is not None and getattr(fetcher, "ended", False)):
        return 0
    samples = frame.f_locals.get("data") if frame.f_code is type(fetcher).fetch.__code__ else None
    return len(samples) if fetcher.drop_last and isinstance(samples, list) else 0


def _observed_collate(collate_fn: Callable[[Any], Any], notes: _FetchNotes) -> Callable[[Any], Any]:
    def collate(data: Any) -> Any:
        activity = notes.activity
        if activity is None:
            return collate_fn(data)
        notes.end(activity)
        recorder.write(_COLLATE_BEGIN, activity.batch, 0, activity.thread)
        try:
            return collate_fn(data)
        except BaseException as error:
            hide_frame(error)
            if isinstance(error, Exception):
                _note_mismatch(error, data, notes.indices, activity.batch)
            raise
        finally:
            recorder.write(_COLLATE_END, activity.batch, 0, activity.thread)

    return collate


def _note_mismatch(error: Exception, samples: Any, indices: Any, batch: int) -> None:
    """Writes down which samples could not be put together, if any; the user's code sees `error` in any case."""
    try:
        from . import mismatch  # its imports must not come before the user's own

        mismatch.note(error, samples, indices, batch)
    except Exception:  # a tensor of the user's own class, or no file can be opened any more: nothing is written
        return
