"""Runs one trial: builds the loader of a setting, runs its epochs and gives the batches to the consumer."""

from __future__ import annotations

import dataclasses
import importlib.util
import multiprocessing
import os
import random
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Set

from . import (
    exact_window,
    global_random,
    instrument,
    loaders,
    made_loaders,
    process_settings,
    sample_counting,
    samples,
    training_step,
    used_devices,
)
from .child_names import names_of_children
from .device import DeviceClock, Period, device_clock
from .epoch_count import epoch_numbers
from .error_sentences import UNSUPPORTED, AgentError, describe
from .exact_window import AfterBatch
from .fetch_hooks import thread_time_ns
from .layout import THREAD_CPU_UNKNOWN, State, batch_of_epoch
from .messages import DEVICE_CONSUMERS, ErrorInfo, TrialOrder, TrialOutcome
from .perfect_loader import MOST_BATCHES, NoCeilingError, PerfectBatches
from .sample_counting import SampleCounter
from .sampling import CountingSampler
from .training_step import Step
from .transfer import Transfer

_GENERATORS = {"random": "Python's random module", "numpy": "NumPy's global generator", "torch": "torch's default generator"}


class Feed:
    """The attached Dataset or DataLoader, and the generator states from which each trial starts.

    Attributes:
        source: the user's object.
        failed_batch: the batch (within its epoch) at which the newest trial failed, if it was the loader that raised.
        extras: `collate_fn` and `worker_init_fn` of the script, for a bare dataset.
    """

    def __init__(self, source: Any, namespace: Mapping[str, Any]) -> None:
        self.source = source
        self.namespace = namespace
        self.extras: Dict[str, Callable[..., Any]] = {}
        if not loaders.is_loader(source):
            names = ("collate_fn", "worker_init_fn")
            self.extras = {name: namespace[name] for name in names if callable(namespace.get(name))}
        self.failed_batch: Optional[int] = None
        self._generators = [(generator, generator.get_state()) for generator in loaders.generators_of(source)]

    @property
    def dataset(self) -> Any:
        return self.source.dataset if loaders.is_loader(self.source) else self.source

    def reset(self, seed: int) -> None:
        """Resets all random generators for a trial: the user's own to their first state, the global ones to `seed`."""
        import torch

        for generator, state in self._generators:
            generator.set_state(state)
        torch.manual_seed(seed)
        random.seed(seed)
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed(seed % 2**32)


class _Loop(NamedTuple):
    """The parts of the measured loop.

    Attributes:
        sampler: gives the indices of a map-style dataset; None for an iterable one, and where the constructor made the iterator.
        limit: batches of an epoch, for a loader that iterates in its own way; None for all. Other loaders end by themselves.
        has_begun: whether the first epoch began when the loader was made, because its constructor starts workers.
        perfect: the batches of a perfect loader, which take the place of the loader's; None for a trial of the loader itself.
    """

    step: Optional[Step]
    transfer: Optional[Transfer]
    feed: Feed
    clock: Optional[DeviceClock]
    step_clock: Optional[DeviceClock]  # None where the step is simulated: it takes no time of the device
    counter: SampleCounter
    checks_pinning: bool
    sampler: Optional[CountingSampler]
    iterates_its_own_way: bool
    limit: Optional[int]
    has_begun: bool
    after_first_step: Optional[Callable[[], None]]
    perfect: Optional[PerfectBatches] = None


class _Moved(NamedTuple):
    """A batch on the device, if it goes to one, its number, and the events around its copy."""

    batch: Any
    number: int
    copied: Optional[Period]


class _Epoch(NamedTuple):
    batches: int
    samples: Optional[int]
    pinned: bool


def run_trial(order: TrialOrder, feed: Feed) -> TrialOutcome:
    """Runs a trial to its end; passes on what the user's code raises.

    Raises:
        AgentError: the setting, consumer or device is not available here.
    """
    own_way = loaders.is_loader(feed.source) and made_loaders.iterates_its_own_way(feed.source)
    running_before = _running() if own_way else set()
    start_ns = time.perf_counter_ns()
    with process_settings.applied(order.config):
        try:
            outcome = _run(order, feed)
        except NoCeilingError as error:
            return outcome_without_ceiling(str(error), (time.perf_counter_ns() - start_ns) / 1e9)
    if own_way and _running() - running_before:
        return dataclasses.replace(outcome, ran_user_code=True)
    return outcome


def outcome_without_ceiling(reason: str, seconds: float) -> TrialOutcome:
    """Returns the outcome of a trial whose perfect loader could not serve its batches, after so many seconds."""
    return TrialOutcome(
        seconds=seconds,
        batches=0,
        samples=None,
        epoch_batches=[],
        pinned=False,
        ran_user_code=True,
        fingerprint=None,
        notes=[reason],
        no_ceiling=reason,
    )


def _run(order: TrialOrder, feed: Feed) -> TrialOutcome:
    _check_device(order.device)
    feed.failed_batch = None
    feed.reset(order.seed)
    preload_forkserver(order)
    is_perfect = order.perfect_loader_bytes is not None
    starts_in_constructor = made_loaders.keeps_iterator(feed.source) and not is_perfect
    built = None if starts_in_constructor else _build(order, feed)
    perfect = _fetch(built.loader, order) if is_perfect and built is not None else None
    notes: List[str] = []
    step = training_step.make_step(order.consumer, feed.namespace, order.device, notes)
    transfer = Transfer(order.device, order.h2d) if order.device is not None else None
    feed.reset(order.seed)  # a model that make_train_step() has built drew random numbers
    event_seconds: Optional[float] = None
    if order.record:
        instrument.install()
        strategy = order.config.sharing_strategy
        instrument.start_recording(order.log_dir, order.timeout_s, sharing_strategy=strategy, looks_closer=order.probe)
    else:
        instrument.uninstall()
    try:
        uses_device = order.device is not None or order.consumer.kind in DEVICE_CONSUMERS
        clock, reason = device_clock(order.device, uses_device and order.record, transfer.stream if transfer is not None else None)
        if reason:
            notes.append(reason)
        writes_devices_later = used_devices.may_use_device(order)  # the first step may be the first to move models to devices
        if order.record and not writes_devices_later:
            used_devices.write_devices(order)
        start_ns = time.perf_counter_ns()
        if starts_in_constructor:
            instrument.begin(State.EPOCH, 0)
        loader, sampler, full_batches, build_notes = built or _build(order, feed)
        notes += build_notes
        own_way = made_loaders.iterates_its_own_way(loader) or is_perfect
        if own_way and order.record and not is_perfect:
            instrument.measure_own_way(loader)
        is_iterable = loaders.dataset_kind(feed.dataset) == "iterable"
        index_sampler = None if is_iterable or is_perfect else sampler
        loop = _Loop(
            step=step,
            transfer=transfer,
            feed=feed,
            clock=clock,
            step_clock=clock if order.consumer.kind in DEVICE_CONSUMERS else None,
            counter=sample_counting.sample_counter(order.samples_of, feed.namespace, loader, index_sampler),
            checks_pinning=can_pin(order),
            sampler=index_sampler,
            iterates_its_own_way=own_way,
            limit=(order.batches or full_batches or MOST_BATCHES) if is_perfect else order.batches if own_way else None,
            has_begun=starts_in_constructor,
            perfect=perfect,
            after_first_step=(lambda: used_devices.write_devices(order)) if order.record and writes_devices_later else None,
        )
        start_ns = start_ns if starts_in_constructor else time.perf_counter_ns()
        cpu_time = CpuTime()
        epochs: List[_Epoch] = []
        whole_epochs: List[bool] = []
        for number in epoch_numbers(order, epochs, whole_epochs):
            epochs.append(_run_epoch(number, loader, loop))
            whole_epochs.append(
                _is_whole(order, full_batches, epochs[-1].batches, None if own_way or sampler is None else sampler.epoch_batch_count)
            )
        _close(loader)
        seconds, other_threads_share = (time.perf_counter_ns() - start_ns) / 1e9, cpu_time.other_threads_share()
        notes += loop.counter.notes(epochs)
        if perfect is not None:
            notes += perfect.notes(seconds / max(1, epochs[0].batches))
        window = _exact_window(order, len(epochs), loader, loop) if order.gpu_window and order.record else None
        if clock is not None:
            clock.finish()
            notes += _device_notes(order, clock)
    finally:
        if order.record:
            recorded = instrument.stop_recording()
            event_seconds = recorded.seconds_estimate
            if recorded.stopped is not None:
                notes.append(recorded.stopped)
    in_threads = order.config.backend == "thread" and order.config.num_workers > 0
    shared = global_random.generators_drawn_from(loader) if in_threads else None
    if shared:
        notes.append(
            "Not comparable with worker processes: the dataset draws random numbers from %s, which all threads share, so its "
            "batches depend on which thread comes first." % " and ".join(_GENERATORS[name] for name in shared)
        )
    return TrialOutcome(
        seconds=seconds,
        batches=sum(epoch.batches for epoch in epochs),
        samples=sum(epoch.samples or 0 for epoch in epochs) if all(epoch.samples is not None for epoch in epochs) else None,
        epoch_batches=[epoch.batches for epoch in epochs],
        pinned=any(epoch.pinned for epoch in epochs),
        ran_user_code=order.config.num_workers == 0 or in_threads or order.consumer.kind == "script",
        fingerprint=samples.fingerprint(feed.dataset),
        event_seconds=event_seconds,
        shared_generators=shared,
        gpu_window=window,
        other_threads_share=other_threads_share,
        keeps_workers=starts_in_constructor and order.config.num_workers > 0,
        works_unseen=clock is not None and bool(clock.lower_bound_note),
        full_batches=full_batches,
        whole_epochs=whole_epochs,
        notes=notes,
        child_names=names_of_children(),
        epoch_setter=_epoch_setter(feed.dataset) if order.config.num_workers else None,
    )


def _build(order: TrialOrder, feed: Feed) -> loaders.Built:
    return loaders.build(feed.source, order.config, order.shuffle, feed.extras, order.batches)


def _epoch_setter(dataset: Any) -> Optional[Dict[str, Any]]:
    from . import epoch_setter  # its imports must not come before the user's own

    return epoch_setter.find_epoch_setter(dataset)


def longest_fetch_s(order: TrialOrder) -> float:
    """Returns how long a perfect loader's batches may be fetched: with the last of them, less than what counts as hanging."""
    return order.timeout_s / 2


def _fetch(loader: Any, order: TrialOrder) -> PerfectBatches:
    """Fetches the batches of a perfect loader; whoever fetches them has ended then.

    Raises:
        AgentError: the loader gives none.
        NoCeilingError: a batch cannot be served from memory.
    """
    perfect = PerfectBatches(order.perfect_loader_bytes or 0)
    try:
        perfect.fetch(iter(loader).__next__, longest_fetch_s(order))
    finally:
        _close(loader)
    if not len(perfect):
        raise AgentError(UNSUPPORTED, "the loader gives no batch that a perfect loader could serve")
    return perfect


def _running() -> Set[Any]:
    """The child processes and threads that run now, without those that end by themselves soon after a loader's workers.

    A loader that iterates in its own way may leave some behind.
    """
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("QueueFeederThread")}
    return {*threads, *multiprocessing.active_children()}


class CpuTime:
    """Processor time of this process and of this thread since it was made."""

    def __init__(self) -> None:
        self._process_ns, self._thread_ns = time.process_time_ns(), thread_time_ns()

    def other_threads_share(self) -> Optional[float]:
        """The share that other threads took; None where the system does not tell."""
        process_ns = time.process_time_ns() - self._process_ns
        if self._thread_ns == THREAD_CPU_UNKNOWN or process_ns <= 0:
            return None
        return max(0.0, 1.0 - (thread_time_ns() - self._thread_ns) / process_ns)


def _is_whole(order: TrialOrder, full_batches: Optional[int], batches: int, given: Optional[int]) -> bool:
    """Whether an epoch is known to be whole: it ended by itself, or the limit is as long as an epoch.

    Args:
        order: the trial.
        full_batches: in an epoch without a limit, as far as the loader tells.
        batches: that the consumer received.
        given: batches whose indices the sampler gave; None for a loader whose consumer keeps the limit.
    """
    if order.batches is None or batches == full_batches:
        return True
    return batches < order.batches if given is None else batches <= given < order.batches


def _device_notes(order: TrialOrder, clock: DeviceClock) -> List[str]:
    """Sentences about what the device's times leave out."""
    others = [device["name"] for device in used_devices.devices_in_use(order) if device["name"] != str(clock.device)]
    alone = ["Device times are those of %s; the trial also uses %s." % (clock.device, " and ".join(others))] if others else []
    return alone + [note for note in (clock.lower_bound_note, clock.failure) if note]


def _exact_window(order: TrialOrder, epoch: int, loader: Any, loop: _Loop) -> Dict[str, Any]:
    """Runs one more epoch, number `epoch`, under the profiler, and leaves it when the window is full; see `exact_window`."""
    config = order.config
    prefetched = config.num_workers * (config.prefetch_factor or 2)  # 2: torch/utils/data/dataloader.py
    steps, warm_steps = order.gpu_window or 0, 2 * prefetched + 2
    if order.batches is not None:
        steps = max(1, min(steps, order.batches - 1))
        warm_steps = max(1, min(warm_steps, order.batches - steps))
    try:
        return exact_window.measure(steps, warm_steps, order.device, lambda after: _run_epoch(epoch, loader, loop, after))
    finally:
        _close(loader)


def _run_epoch(epoch: int, loader: Any, loop: _Loop, after_batch: Optional[AfterBatch] = None) -> _Epoch:
    """One epoch as a training loop runs it. All of it is measured: it never waits for the device and does no needless work.

    Args:
        epoch: its number.
        loader: the loader.
        loop: the step, and all else that happens to a batch.
        after_batch: for an epoch that is not measured: called after each step, returns whether to leave the epoch.
    """
    transfer, clock, delivered_batch = loop.transfer, loop.clock, instrument.delivered_batch
    copies = transfer.stream if transfer is not None else None
    take_step = _step_function(epoch, loop)
    ahead: Optional[_Moved] = None  # with overlapped copies: the batch that is under way to the device; its step comes next
    received = 0
    samples_in = loop.counter.in_batch
    samples_seen: Optional[int] = None if samples_in is None else 0
    pinned = leaves = False
    if epoch or not loop.has_begun:
        instrument.begin(State.EPOCH, epoch)
    source = loader if loop.perfect is None else loop.perfect
    iterator = instrument.ConsumerWaits(source, epoch, loop.limit) if loop.iterates_its_own_way else iter(loader)
    while not leaves:
        try:
            batch = next(iterator)
        except StopIteration as ended:
            _check_stop_iteration(ended, received, loop)
            break
        except BaseException:
            loop.feed.failed_batch = received
            raise
        if received == 0 and loop.checks_pinning:
            pinned = is_pinned(batch)
        if samples_in is not None and samples_seen is not None:
            length = samples_in(batch)
            samples_seen = None if length is None else samples_seen + length
        number = delivered_batch()
        received += 1
        copied = None
        if transfer is not None:
            before = clock.mark(copies) if clock is not None else None
            instrument.begin(State.TRANSFER, number)
            batch = transfer.issue(batch)
            copied = clock.since(before, copies) if clock is not None else None
            transfer.wait(number)
            instrument.end(State.TRANSFER, number)
        moved: Optional[_Moved] = _Moved(batch, number, copied)
        if copies is not None:
            moved, ahead = ahead, moved
        if moved is not None:
            take_step(moved)
            moved = None  # else its memory could not be used for the copy of the next batch
            leaves = after_batch is not None and after_batch()
        if transfer is not None and ahead is not None:
            transfer.hand_over(ahead.batch)
    if ahead is not None and not leaves:
        take_step(ahead)
        if after_batch is not None:
            after_batch()
    del iterator
    instrument.end(State.EPOCH, epoch, received)
    return _Epoch(received, loop.counter.in_epoch(received, samples_seen), pinned)


def _step_function(epoch: int, loop: _Loop) -> Callable[[_Moved], None]:
    """Returns a function that takes the step of a batch and hands its events to the clock."""
    step, clock, step_clock = loop.step, loop.clock, loop.step_clock
    begin, end, activity = instrument.begin, instrument.end, instrument.thread_activity()
    follows_copy = loop.transfer is not None and loop.transfer.stream is None
    after_first_step = loop.after_first_step if epoch == 0 else None

    def take_step(moved: _Moved) -> None:
        nonlocal after_first_step
        stepped: Optional[Period] = None
        others: List[Period] = []
        if step is not None:
            if step_clock is not None:
                before = moved.copied.after if moved.copied is not None and follows_copy else step_clock.mark()
                others_before = step_clock.mark_step_streams()
            begin(State.STEP, moved.number)
            activity.in_users_code = True
            try:
                step(moved.batch)
            finally:
                activity.in_users_code = False
            end(State.STEP, moved.number)
            if step_clock is not None:
                stepped = step_clock.since(before)
                others = step_clock.since_on_step_streams(before, others_before)
        if clock is not None:
            clock.add(batch_of_epoch(epoch, moved.number), moved.copied, stepped, others)
            clock.poll()
        if after_first_step is not None:
            after_first_step()
            after_first_step = None

    return take_step


def _check_stop_iteration(ended: StopIteration, batches: int, loop: _Loop) -> None:
    """Raises a StopIteration of the user's dataset or collate_fn as an error: a loop takes it for the end of the epoch."""
    if loop.sampler is None or loop.iterates_its_own_way or batches >= loop.sampler.epoch_batch_count:
        return
    loop.feed.failed_batch = batches
    info = describe(ended)
    place = "%s, line %d" % (os.path.basename(info.file), info.line or 0) if info.file else "the dataset or collate_fn"
    message = "%s raised StopIteration, which ends an epoch after %d of its batches as if it were complete" % (place, batches)
    raise AgentError.of(ErrorInfo("StopIteration", message, info.traceback, info.file, info.line)) from ended


def can_pin(order: TrialOrder) -> bool:
    """Whether torch may pin batches of this trial: it pins nothing where it has no accelerator."""
    if not order.config.pin_memory:
        return False
    import torch

    accelerator = getattr(torch, "accelerator", None)
    return bool(torch.cuda.is_available() or (accelerator is not None and accelerator.is_available()))


def is_pinned(batch: Any) -> bool:
    """Whether the first tensor of a batch lies in pinned memory."""
    torch = sys.modules["torch"]
    if isinstance(batch, torch.Tensor):
        return bool(batch.is_pinned())
    if isinstance(batch, Mapping):
        return any(is_pinned(part) for part in batch.values())
    return isinstance(batch, (list, tuple)) and any(is_pinned(part) for part in batch)


def _close(loader: Any) -> None:
    """Ends persistent workers, which else live as long as the loader's iterator."""
    iterator = vars(loader).get("_iterator")
    if iterator is None:
        return
    vars(loader)["_iterator"] = None
    shut_down = getattr(iterator, "_shutdown_workers", None)  # as torch's own __del__ does
    if shut_down is not None:
        shut_down()


def preload_forkserver(order: TrialOrder) -> None:
    """Sets the modules that the fork server preloads. The server must not run yet: the pool gives each such trial a fresh agent."""
    config = order.config
    if config.forkserver_preload and config.start_method == "forkserver" and config.num_workers:
        for name in config.forkserver_preload:
            top = name.partition(".")[0]
            if top not in sys.modules and importlib.util.find_spec(top) is None:  # the server ignores what it cannot import
                raise AgentError(UNSUPPORTED, "the fork server cannot preload %s: there is no such module" % name)
        multiprocessing.set_forkserver_preload(list(config.forkserver_preload))


def _check_device(device: Optional[str]) -> None:
    if device is None:
        return
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch raises any of these where there is no such device
        raise AgentError(UNSUPPORTED, "batches cannot be moved to %s: %s" % (device, str(error).splitlines()[0])) from error
