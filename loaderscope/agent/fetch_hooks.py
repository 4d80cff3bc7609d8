"""What happens inside a fetch: dataset access, each sample, collate. In a worker, and in main with 0 workers.

The fetcher that torch makes stays of torch's class and runs torch's body unchanged, and the user's dataset and collate_fn are
the user's own. Samples are seen by handing that body a list of indices which notes when the next is taken.
"""

from __future__ import annotations

import time
import weakref
from typing import Any, Callable, Iterator, List, Optional

from . import recorder
from .layout import THREAD_CPU_UNKNOWN, State
from .patches import Patches, hide_frame
from .torch_internals import CREATE_FETCHER, ITERABLE_FETCH, MAP_FETCH, find

_FETCH_BEGIN, _FETCH_END = recorder.kinds(State.FETCH)
_COLLATE_BEGIN, _COLLATE_END = recorder.kinds(State.COLLATE)
_SAMPLE = recorder.instant_kind(State.SAMPLE)

THIN_BELOW_NS = 100_000
"""With samples that take less only some batches are recorded in detail: each sample, and the thread's CPU time.

A record each would cost more than 1 % of a 50 µs sample. And whoever reads its CPU clock has its share of the processor looked
at: on Linux a thread that competes for one loses it sooner, at nearly every reading, than at the scheduler's own ticks.
"""
_THIN_TO_NS = 4 * THIN_BELOW_NS
"""They are thinned out to about one sample recorded in so much of a fetch's time."""
_MAX_SKIPPED_BATCHES = 200


def _no_thread_clock() -> int:
    return THREAD_CPU_UNKNOWN


thread_time_ns: Callable[[], int] = getattr(time, "thread_time_ns", _no_thread_clock)


class _Indices(List[Any]):
    """The indices of a batch; taking one means that its sample's access begins."""

    def __iter__(self) -> Iterator[Any]:
        write, here = recorder.write, recorder.threads.here
        batch, thread = here.batch, here.thread
        for index in list.__iter__(self):
            write(_SAMPLE, index if type(index) is int else -1, batch, thread)
            yield index


class _FetchNotes:
    """What the hooks know about one fetcher."""

    __slots__ = ("begin_cpu_ns", "begin_ns", "here", "indices", "samples", "skip_batches")

    def __init__(self) -> None:
        self.skip_batches = 0  # batches left that are not recorded in detail
        self.here: Optional[recorder.Here] = None  # of the thread, while FETCH is open; the rest is about that span
        self.indices: Any = None
        self.samples = 1
        self.begin_ns = self.begin_cpu_ns = 0

    def end(self, here: recorder.Here) -> None:
        """FETCH is over: called by the first of collate and the fetcher's return."""
        self.here = None
        if self.skip_batches:
            self.skip_batches -= 1
            recorder.write(_FETCH_END, here.batch, THREAD_CPU_UNKNOWN, here.thread)
            return
        cpu_ns = thread_time_ns()
        if cpu_ns != THREAD_CPU_UNKNOWN:
            cpu_ns -= self.begin_cpu_ns
        recorder.write(_FETCH_END, here.batch, cpu_ns, here.thread)
        if recorder.plan is not None and recorder.plan.thin_samples:
            sample_ns = (time.perf_counter_ns() - self.begin_ns) // max(self.samples, 1)
            if sample_ns < THIN_BELOW_NS:
                self.skip_batches = min(_THIN_TO_NS // max(sample_ns, 1), _MAX_SKIPPED_BATCHES)


def install(patches: Patches) -> None:
    """Makes torch's factory of fetchers return observed ones; torch.utils.data must be imported."""
    place = find(CREATE_FETCHER)
    if place is None:
        return
    bodies_known = find(MAP_FETCH) is not None and find(ITERABLE_FETCH) is not None

    def make_wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        def create_fetcher(*args: Any, **kwargs: Any) -> Any:
            try:
                fetcher = original(*args, **kwargs)
            except BaseException as error:  # iter() of the user's dataset
                hide_frame(error)
                raise
            if recorder.log is not None:
                _observe(fetcher, bodies_known)
            return fetcher

        return create_fetcher

    patches.wrap(place.owner, place.name, make_wrapper)


def _observe(fetcher: Any, bodies_known: bool) -> None:
    """Makes a fetcher an observed one; where its body is not known only the whole fetch is told, collate included.

    By attributes of its own: with another class Python would look up more slowly what torch's body takes of it for each sample.
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
        here = recorder.threads.here
        if here.in_users_code or here.thread == recorder.NO_THREAD or recorder.log is None:
            return plain_fetch(reference(), possibly_batched_index)
        indices, samples, detailed = possibly_batched_index, 1, notes.skip_batches == 0
        if in_lists and type(indices) is list:
            samples = len(indices)
            if detailed and not getattr(dataset, "__getitems__", None):
                indices = _Indices(indices)
        here.in_users_code, notes.here, notes.indices = True, here, possibly_batched_index
        recorder.write(_FETCH_BEGIN, here.batch, samples, here.thread)
        if detailed:
            notes.samples, notes.begin_ns = samples, time.perf_counter_ns()
            notes.begin_cpu_ns = thread_time_ns()
        try:
            return plain_fetch(reference(), indices)
        except BaseException as error:
            hide_frame(error)
            raise
        finally:
            if notes.here is not None:
                notes.end(here)
            here.in_users_code, notes.indices = False, None

    return fetch


def _observed_collate(collate_fn: Callable[[Any], Any], notes: _FetchNotes) -> Callable[[Any], Any]:
    def collate(data: Any) -> Any:
        here = notes.here
        if here is None:
            return collate_fn(data)
        notes.end(here)
        recorder.write(_COLLATE_BEGIN, here.batch, 0, here.thread)
        try:
            return collate_fn(data)
        except BaseException as error:
            hide_frame(error)
            if isinstance(error, Exception):
                _tell_mismatch(error, data, notes.indices, here.batch)
            raise
        finally:
            recorder.write(_COLLATE_END, here.batch, 0, here.thread)

    return collate


def _tell_mismatch(error: Exception, samples: Any, indices: Any, batch: int) -> None:
    """Notes which samples could not be put together, if any; whatever happens here, the user's code sees `error`."""
    try:
        from . import mismatch  # what it imports must not come before the user's own imports

        mismatch.tell(error, samples, indices, batch)
    except Exception:  # tensors of a class of the user's, or no file can be opened any more: then nothing is known
        return
