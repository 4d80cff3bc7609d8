"""Runs a few further steps under torch.profiler: records exactly when the device was busy, and the costliest operators.

The profiler slows the steps, so this comes after the measured epochs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import instrument
from .device_choice import device_of_trial
from .layout import State

_MAX_OPERATORS = 20
"""How many of the heaviest operators on the CPU are reported, and how many on the device."""

_DEVICE_WORK = ("kernel", "gpu_memcpy", "gpu_memset")
"""Kineto's names of activities that keep a device busy (libkineto/src/ActivityType.cpp)."""

_OTHER_PROFILER = "no exact window: the script itself runs a profiler of torch, and there can be only one"
_MARK = "loaderscope: clock"
_STEP_NAME = "ProfilerStep"  # torch/profiler/profiler.py

AfterBatch = Callable[[], bool]
"""Called after each step; True ends the loop."""

Interval = Tuple[int, int]


class _ScriptProfilesError(RuntimeError):
    """The script has started a profiler within the window."""


class _Operator(NamedTuple):
    name: str
    calls: int
    self_cpu_s: float
    self_device_s: float


def measure(steps: int, warm_steps: int, device: Optional[str], run: Callable[[AfterBatch], Any]) -> Dict[str, Any]:
    """Runs a loop until its window is full, and records the device's busy periods.

    Args:
        steps: length of the window in batches.
        warm_steps: batches before it, in which the profiler starts and the queue reaches its steady state.
        device: the device that the user named; None for the device that the script uses.
        run: the loop; an exception of it ends the window.

    Returns:
        the `gpu_window` of a trial: {steps, seconds, busy_share, reason, clock_error_s, operators}.
    """
    reason = _why_unavailable()
    if reason:
        return _empty_result(reason)
    import torch

    accelerator, _ = device_of_trial(device)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if accelerator is not None:
        own = getattr(torch.profiler.ProfilerActivity, accelerator.type.upper(), None)
        activities += [own] if own is not None else []
    plan = torch.profiler.schedule(wait=0, warmup=max(1, warm_steps), active=steps, repeat=1)
    if accelerator is not None:
        torch.accelerator.synchronize(accelerator)  # the device's pending work belongs to the measured epochs
    instrument.instant(State.EXACT_WINDOW, -1, steps)
    try:
        with torch.profiler.profile(activities=activities, schedule=plan) as profiler:
            window = _Window(profiler, steps, max(1, warm_steps), accelerator)
            with _no_other_profiler():
                run(window.after_batch)
        if not window.steps:
            return _empty_result("the exact window is empty: the epoch ended within the %d batches before it" % max(1, warm_steps))
        return _result(profiler, window, accelerator, len(activities) > 1)
    except _ScriptProfilesError:
        return _empty_result(_OTHER_PROFILER)
    except Exception as error:  # whatever the script raises under a profiler, the measured part of the trial is valid
        first_line = (str(error).splitlines() or [""])[0]
        return _empty_result("the exact window failed: %s: %s" % (type(error).__name__, first_line))


class _Window:
    """Counts batches, reports each to the profiler, and takes the window's begin and end on the host's clock.

    Attributes:
        steps: batches within the window so far.
        start_ns: begin of the window.
        end_ns: end of the newest batch within the window.
        marks: readings of the host's clock before and after the begin of each mark, in order.
    """

    def __init__(self, profiler: Any, steps: int, warm_steps: int, accelerator: Any) -> None:
        self._profiler, self._window_steps, self._warm_steps, self._accelerator = profiler, steps, warm_steps, accelerator
        self._batch_count = 0
        self.steps = 0
        self.start_ns = self.end_ns = 0
        self.marks: List[Interval] = []

    def after_batch(self) -> bool:
        self._batch_count += 1
        if self._batch_count > self._warm_steps:
            self.end_ns = time.perf_counter_ns()
            self.steps += 1
        is_last = self.steps == self._window_steps
        if is_last:
            self._mark()
            if self._accelerator is not None:
                import torch

                torch.accelerator.synchronize(self._accelerator)
        self._profiler.step()
        if self._batch_count == self._warm_steps:
            self._mark()
            self.start_ns = time.perf_counter_ns()
        return is_last

    def _mark(self) -> None:
        """Begins an event of the profiler between two readings of the host's clock."""
        import torch

        event = torch.profiler.record_function(_MARK)
        before_ns = time.perf_counter_ns()
        event.__enter__()
        self.marks.append((before_ns, time.perf_counter_ns()))
        event.__exit__(None, None, None)


def _why_unavailable() -> str:
    """Why the profiler cannot be used now, in one sentence; "" if it can."""
    import torch

    if not torch.autograd.kineto_available():
        return "no exact window: torch %s is built without Kineto, which torch.profiler needs" % torch.__version__
    if torch.autograd._profiler_enabled() or getattr(torch.autograd.profiler, "_is_profiler_enabled", False) or _is_profiler_warming_up():
        return _OTHER_PROFILER
    return ""


def _is_profiler_warming_up() -> bool:
    """Whether a profiler of the script is in its warm-up, which torch does not report."""
    import torch

    own = torch.autograd.profiler.profile  # torch.profiler.profile makes an object of this class
    made = [found for found in gc.get_objects() if type(found) is own and found.enabled]  # disabled ones lack the attributes read below
    return any(found.entered and found.kineto_results is None for found in made)


@contextlib.contextmanager
def _no_other_profiler() -> Iterator[None]:
    """Makes every other profiler that starts within this context raise: two at a time crash torch."""
    import torch

    profile, pid = torch.autograd.profiler.profile, os.getpid()
    prepare = profile._prepare_trace

    def refuse(self: Any) -> None:
        if os.getpid() == pid:
            raise _ScriptProfilesError("there can be only one profiler of torch, and an exact window is being recorded")
        prepare(self)

    profile._prepare_trace = refuse
    try:
        yield
    finally:
        profile._prepare_trace = prepare


def _result(profiler: Any, window: _Window, accelerator: Any, sees_device: bool) -> Dict[str, Any]:
    import torch

    events = list(profiler.profiler.kineto_results.events())
    seconds = (window.end_ns - window.start_ns) / 1e9
    result: Dict[str, Any] = {
        "steps": window.steps,
        "seconds": seconds,
        "busy_share": None,
        "reason": None,
        "clock_error_s": None,
        "operators": [operator._asdict() for operator in _heaviest(_operators(profiler))],
    }
    if not sees_device:
        name = "the trial uses no accelerator" if accelerator is None else "torch.profiler does not see %s" % accelerator.type
        result["reason"] = "no busy share: %s, so only operators on the CPU were recorded" % name
        return result
    if not events or not hasattr(events[0], "start_ns") or not hasattr(events[0], "is_user_annotation"):
        result["reason"] = "no busy share: the profiler of torch %s does not tell kernels from other events" % torch.__version__
        return result
    offset_ns, error_ns = _unix_offset(events, window.marks)
    if offset_ns is None:
        result["reason"] = "no busy share: the profiler's clock could not be compared with the host's"
        return result
    starts = [(event.start_ns() - offset_ns, event.duration_ns()) for event in events if _is_work(event, accelerator)]
    work = [(start_ns, start_ns + length_ns) for start_ns, length_ns in starts]
    if not work:
        result["reason"] = "no busy share: the profiler recorded no work of %s" % accelerator
        return result
    busy = union(work, window.start_ns, window.end_ns)
    for start_ns, end_ns in busy:
        instrument.complete(State.DEVICE_WORK, start_ns, end_ns - start_ns, -1)
    result["busy_share"] = sum(end_ns - start_ns for start_ns, end_ns in busy) / (window.end_ns - window.start_ns)
    result["clock_error_s"] = error_ns / 1e9
    return result


def _is_work(event: Any, accelerator: Any) -> bool:
    """Whether the event is a kernel, copy or memset of the device, not a range that a script named."""
    import torch

    if event.device_type() == torch.autograd.DeviceType.CPU or event.device_index() != accelerator.index:
        return False
    kind = getattr(event, "activity_type", None)
    return kind() in _DEVICE_WORK if kind is not None else not event.is_user_annotation()


def _unix_offset(events: List[Any], marks: List[Interval]) -> Tuple[Optional[int], int]:
    """How far the profiler's Unix times are ahead of the host's clock, by the narrowest bracket, and the bound of the error."""
    starts = sorted(event.start_ns() for event in events if event.name() == _MARK and event.device_type().name == "CPU")
    if not starts or len(starts) != len(marks):
        return None, 0
    pairs = ((start_ns, *bracket) for start_ns, bracket in zip(starts, marks))  # noqa: B905  Python 3.9
    width_ns, offset_ns = min((after_ns - before_ns, start_ns - (before_ns + after_ns) // 2) for start_ns, before_ns, after_ns in pairs)
    return offset_ns, (width_ns + 1) // 2


def union(intervals: List[Interval], low_ns: int, high_ns: int) -> List[Interval]:
    """The part of [low, high] that any of the intervals covers, as disjoint intervals in order."""
    merged: List[Interval] = []
    inside = [(max(start_ns, low_ns), min(end_ns, high_ns)) for start_ns, end_ns in intervals]
    for start_ns, end_ns in sorted(interval for interval in inside if interval[1] > interval[0]):
        if merged and start_ns <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_ns))
        else:
            merged.append((start_ns, end_ns))
    return merged


def _operators(profiler: Any) -> List[_Operator]:
    """All operators of the window with their own time, on the CPU and in the kernels that they launched."""
    import torch

    operators = []
    for row in profiler.key_averages():
        if row.device_type != torch.autograd.DeviceType.CPU or getattr(row, "is_user_annotation", False):
            continue
        if row.key == _MARK or row.key.startswith(_STEP_NAME):
            continue
        name = "self_device_time_total" if hasattr(row, "self_device_time_total") else "self_cuda_time_total"  # before torch 2.4
        device_us: float = getattr(row, name)
        operators.append(_Operator(row.key, row.count, row.self_cpu_time_total / 1e6, device_us / 1e6))
    return operators


def _heaviest(operators: List[_Operator]) -> List[_Operator]:
    by_cpu = sorted(operators, key=lambda operator: -operator.self_cpu_s)[:_MAX_OPERATORS]
    by_device = sorted(operators, key=lambda operator: -operator.self_device_s)[:_MAX_OPERATORS]
    kept = dict.fromkeys(by_cpu + [operator for operator in by_device if operator.self_device_s > 0])
    return sorted(kept, key=lambda operator: (-operator.self_device_s, -operator.self_cpu_s))


def _empty_result(reason: str) -> Dict[str, Any]:
    return {"steps": 0, "seconds": None, "busy_share": None, "reason": reason, "clock_error_s": None, "operators": []}
