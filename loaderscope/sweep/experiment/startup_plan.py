"""Plans the start-up experiment: start methods x workers x persistent on and off, and a fork server that preloads heavy modules."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from loaderscope.agent.messages import Consumer, ErrorInfo, TrialConfig
from loaderscope.facts.request import Axes, Request
from loaderscope.sweep.ready_agent import SweepError

WORKERS = (0, 1, 2, 4)
EPOCHS = 3
BATCHES_PER_WORKER = 2
LEAST_BATCHES = 4
TIMEOUT_S = 120.0
"""A trial that records nothing for this time hangs; several workers that import heavy modules together record nothing for long."""

LEAST_SERVER_STARTS = 9
"""Starts of fork servers that preload. A server starts once a trial (its workers in every epoch), and one start alone is noise."""

COMPARED_TRIALS = 2
"""Trials of each setting that preloading is compared with: the saving is a small difference of two similar starts."""

_FIXED_AXES = ("batch_size", "prefetch_factor", "pin_memory", "in_order", "backend")


def as_experiment(request: Request) -> Request:
    """Returns the request as a start-up experiment: few batches, several epochs, and no consumer.

    Workers, start methods, epochs, batches and timeout stay as the request has them if they differ from the defaults.

    Raises:
        SweepError: other axes have several values, or the request has a step, a device, threads, or no worker to start.
    """
    axes, defaults = request.axes, Request(request.script)
    for name in _FIXED_AXES:
        if len(getattr(axes, name) or ()) > 1:
            raise _refusal(f"varies workers, start methods and persistent workers; give one value of --{name.replace('_', '-')}")
    if axes.persistent_workers == (True,):
        raise _refusal("compares persistent workers with others, so --persistent-workers cannot be on alone")
    if "thread" in axes.backend:
        raise _refusal("measures the start of worker processes; threads (--backend thread) have none")
    if request.device is not None or (request.consumer is not None and request.consumer.kind != "none"):
        raise _refusal("measures the way to the first batch alone, so it takes neither --step nor --device")
    if request.gpu_window is not None:
        raise _refusal("measures the way to the first batch alone, so it takes no --gpu-window")
    if axes.num_workers is not None and not any(axes.num_workers):
        raise _refusal("measures how workers start, so --num-workers must name a number above 0")
    batches = max(LEAST_BATCHES, BATCHES_PER_WORKER * max(axes.num_workers or WORKERS))
    return dataclasses.replace(
        request,
        epochs=request.epochs or EPOCHS,
        batches=request.batches if request.batches != defaults.batches else batches,
        consumer=Consumer("none"),
        timeout_s=request.timeout_s if request.timeout_s != defaults.timeout_s else TIMEOUT_S,
    )


def _refusal(sentence: str) -> SweepError:
    return SweepError(ErrorInfo("unsupported", f"The start-up experiment (--startup) {sentence}."))


def parts(request: Request, start_methods: Sequence[str], preload: tuple[str, ...]) -> list[Request]:
    """Returns the sweeps of the experiment: one without preloading and, if the system has a fork server, one with it.

    Args:
        request: the experiment; its axes narrow it.
        start_methods: the start methods of the system.
        preload: the modules that a fork server imports before its workers.
    """
    methods = request.axes.start_method or tuple(start_methods)
    workers = request.axes.num_workers or WORKERS
    axes = dataclasses.replace(request.axes, num_workers=workers, start_method=methods, persistent_workers=(False, True))
    sweeps = [dataclasses.replace(request, axes=axes, forkserver_preload=())]
    with_workers = tuple(count for count in workers if count)
    if "forkserver" in methods and "forkserver" in start_methods and preload and with_workers:
        server: Axes = dataclasses.replace(axes, num_workers=with_workers, start_method=("forkserver",), persistent_workers=(False,))
        sweeps.append(dataclasses.replace(request, axes=server, forkserver_preload=preload))
    return sweeps


def repeats(settings: Sequence[tuple[TrialConfig, object]], request: Request) -> dict[TrialConfig, int]:
    """The number of trials of each setting: the user's number, or more where a start-up experiment measures small differences."""
    preloading = sum(config.forkserver_preload is not None for config, _ in settings) if request.startup else 0

    def least(config: TrialConfig) -> int:
        if not preloading or config.start_method != "forkserver" or config.persistent_workers:
            return 1
        return max(COMPARED_TRIALS, math.ceil(LEAST_SERVER_STARTS / preloading)) if config.forkserver_preload else COMPARED_TRIALS

    return {config: max(request.repeats, least(config)) for config, _ in settings}


def sort_key(config: TrialConfig) -> tuple[str, int, bool, bool]:
    """Sorts the settings of the experiment, so that settings to compare run close together, because the speed of a machine drifts.

    Settings with and without preloading are closest: their difference is small, while persistent workers save nearly a whole start.
    """
    return config.start_method or "", config.num_workers, bool(config.persistent_workers), config.forkserver_preload is not None
