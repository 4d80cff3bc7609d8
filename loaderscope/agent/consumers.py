"""What takes the batches of a trial: nothing, a simulated step, the script's own step, or a synthetic CUDA load."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Optional

from .errors import UNSUPPORTED, AgentError
from .messages import Consumer

Step = Callable[[Any], Any]

STEP_FUNCTION = "train_step"
STEP_MAKER = "make_train_step"

_MATRIX_SIZE = 2048
_CALIBRATION_ROUNDS = 20


def has_step(namespace: Mapping[str, Any]) -> bool:
    """Whether the script defines a step under one of the names that are looked for."""
    return callable(namespace.get(STEP_FUNCTION)) or callable(namespace.get(STEP_MAKER))


def make_step(consumer: Consumer, namespace: Mapping[str, Any], device: Optional[str]) -> Optional[Step]:
    """The step of a trial, ready to be called; None for a consumer that only iterates.

    Args:
        consumer: what was asked for.
        namespace: the script's names.
        device: where a synthetic load runs; None: the current CUDA device.

    Raises:
        AgentError: the consumer cannot be had here.
    """
    if consumer.kind == "none":
        return None
    if consumer.kind == "script":
        return _script_step(namespace)
    if consumer.kind not in ("sleep", "burn", "cuda"):
        raise AgentError(UNSUPPORTED, "there is no consumer called %s" % consumer.kind)
    if consumer.ms is None or consumer.ms < 0:
        raise AgentError(UNSUPPORTED, "the %s consumer needs a time in milliseconds" % consumer.kind)
    seconds = consumer.ms / 1000.0
    if consumer.kind == "sleep":
        return lambda batch: time.sleep(seconds)
    if consumer.kind == "burn":
        return _burn(seconds)
    return _cuda_load(seconds, device)


def _script_step(namespace: Mapping[str, Any]) -> Step:
    maker = namespace.get(STEP_MAKER)
    if callable(maker):
        step = maker()
        if not callable(step):
            raise AgentError(UNSUPPORTED, "make_train_step() returned a %s, not a function that takes a batch" % type(step).__name__)
        return step  # type: ignore[no-any-return]
    step = namespace.get(STEP_FUNCTION)
    if not callable(step):
        raise AgentError(UNSUPPORTED, "the script defines neither train_step(batch) nor make_train_step()")
    return step  # type: ignore[no-any-return]


def _burn(seconds: float) -> Step:
    """Keeps one core busy in Python for a span of wall time, as a Python-heavy step does."""
    span_ns = int(seconds * 1e9)

    def step(batch: Any) -> None:
        end_ns = time.perf_counter_ns() + span_ns
        while time.perf_counter_ns() < end_ns:
            pass

    return step


def _cuda_load(seconds: float, device: Optional[str]) -> Step:
    """Enqueues matrix products that take about that long on the device; calibrated here, outside of the measured path."""
    import torch

    if not torch.cuda.is_available():
        reason = "torch %s is built without CUDA" % torch.__version__ if torch.version.cuda is None else "torch sees no CUDA device"
        raise AgentError(UNSUPPORTED, "a synthetic CUDA load cannot be run: %s" % reason)
    where = torch.device(device or "cuda")
    matrix = torch.rand(_MATRIX_SIZE, _MATRIX_SIZE, device=where)
    out = torch.empty_like(matrix)
    torch.mm(matrix, matrix, out=out)
    torch.cuda.synchronize(where)
    start_ns = time.perf_counter_ns()
    for _ in range(_CALIBRATION_ROUNDS):
        torch.mm(matrix, matrix, out=out)
    torch.cuda.synchronize(where)
    product_s = (time.perf_counter_ns() - start_ns) / 1e9 / _CALIBRATION_ROUNDS
    rounds = max(1, round(seconds / product_s)) if seconds else 0

    def step(batch: Any) -> None:
        for _ in range(rounds):
            torch.mm(matrix, matrix, out=out)

    return step
