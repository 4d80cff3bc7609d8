"""Makes the step that takes the batches of a trial: none, a simulated one, the script's own, or a synthetic load of an accelerator."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Mapping, Optional

from .error_sentences import UNSUPPORTED, AgentError
from .messages import TIMED_CONSUMERS, Consumer

Step = Callable[[Any], Any]

STEP_FUNCTION = "train_step"
STEP_MAKER = "make_train_step"

_MATRIX_SIZE = 2048
_WARM_UP_S = 0.5  # a GPU takes a few tenths of a second to raise its clocks
_CALIBRATION_S = 0.05
_CALIBRATION_ROUNDS = 5
_CALIBRATION_BATCHES = 10  # measured together, to find the time of one


def has_step(namespace: Mapping[str, Any]) -> bool:
    """Whether the script defines a step as `STEP_FUNCTION` or `STEP_MAKER`."""
    return callable(namespace.get(STEP_FUNCTION)) or callable(namespace.get(STEP_MAKER))


def make_step(consumer: Consumer, namespace: Mapping[str, Any], device: Optional[str], notes: Optional[List[str]] = None) -> Optional[Step]:
    """Returns the step of a trial, ready to be called; None for a consumer that only iterates.

    Args:
        consumer: the kind of step, and its length.
        namespace: the script's names.
        device: the device to which batches are moved; None if they are not moved. A synthetic load runs there, too.
        notes: gets a sentence about how long a synthetic load really takes.

    Raises:
        AgentError: the consumer is not available here.
    """
    if consumer.kind == "none":
        return None
    if consumer.kind == "script":
        return _script_step(namespace)
    if consumer.kind not in TIMED_CONSUMERS:
        raise AgentError(UNSUPPORTED, "there is no consumer called %s" % consumer.kind)
    if consumer.ms is None or consumer.ms < 0:
        raise AgentError(UNSUPPORTED, "the %s consumer needs a time in milliseconds" % consumer.kind)
    seconds = consumer.ms / 1000.0
    if consumer.kind == "sleep":
        return lambda batch: time.sleep(seconds)
    if consumer.kind == "burn":
        return _burn(seconds)
    return _synthetic_load(seconds, _load_device(consumer.kind, device), [] if notes is None else notes)


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
    """Returns a step that keeps one core busy in Python for that wall time, as a Python-heavy step does."""
    span_ns = int(seconds * 1e9)

    def step(batch: Any) -> None:
        end_ns = time.perf_counter_ns() + span_ns
        while time.perf_counter_ns() < end_ns:
            pass

    return step


def _synthetic_load(seconds: float, device: Any, notes: List[str]) -> Step:
    """Returns a step that enqueues matrix products of about that length on the device; calibrates it outside of the measured path."""
    import torch

    synchronize = torch.cuda.synchronize if device.type == "cuda" else torch.accelerator.synchronize
    matrix = torch.rand(_MATRIX_SIZE, _MATRIX_SIZE, device=device)
    out = torch.empty_like(matrix)

    def measure(products: int) -> float:
        synchronize(device)
        start_ns = time.perf_counter_ns()
        for _ in range(products):
            torch.mm(matrix, matrix, out=out)
        synchronize(device)
        return (time.perf_counter_ns() - start_ns) / 1e9

    products = seconds / _calibrate(measure)
    if products:
        product_count = max(1, round(products * _CALIBRATION_BATCHES))
        batch_s = sorted(measure(product_count) / product_count for _ in range(_CALIBRATION_ROUNDS))[_CALIBRATION_ROUNDS // 2] * products
        notes.append(
            "The synthetic load of %g ms takes %.3g ms a batch on %s: %.3g matrix products."
            % (seconds * 1e3, batch_s * 1e3, device, products)
        )
    owed_products = 0.0

    def step(batch: Any) -> None:
        nonlocal owed_products
        owed_products += products  # fractions of a product carry over to the next batch: a slow device has few products a batch
        count = int(owed_products)
        owed_products -= count
        for _ in range(count):
            torch.mm(matrix, matrix, out=out)

    return step


def _calibrate(measure: Callable[[int], float]) -> float:
    """Seconds of one product on a warm device: the median of several rounds that are long enough to be timed."""
    products, warm_s = 1, 0.0
    while warm_s < _WARM_UP_S:
        seconds = measure(products)
        warm_s += seconds
        if seconds < _CALIBRATION_S:
            products *= 2
    return sorted(measure(products) / products for _ in range(_CALIBRATION_ROUNDS))[_CALIBRATION_ROUNDS // 2]


def _load_device(kind: str, device: Optional[str]) -> Any:
    """Returns the device of a synthetic load: the one to which batches are moved, else CUDA for `cuda`, else the current accelerator.

    Raises:
        AgentError: torch has no accelerator.
    """
    import torch

    accelerator = getattr(torch, "accelerator", None)  # torch 2.6 and newer
    if torch.cuda.is_available() and (kind == "cuda" or accelerator is None):
        default = torch.device("cuda")
    elif accelerator is not None and accelerator.is_available():  # without an accelerator current_accelerator() raises in torch 2.6
        default = accelerator.current_accelerator()
    else:
        raise AgentError(UNSUPPORTED, _refusal(kind))
    chosen = default if device is None else torch.device(device)
    return default if chosen.type == "cpu" else chosen


def _refusal(kind: str) -> str:
    """Says what a synthetic load of this kind lacks."""
    import torch

    if kind == "cuda":
        is_built_without = torch.version.cuda is None and torch.version.hip is None
        reason = "torch %s is built without CUDA" % torch.__version__ if is_built_without else "torch sees no CUDA device"
        return "a synthetic CUDA load cannot be run: %s" % reason
    if not hasattr(torch, "accelerator"):
        return "a synthetic load cannot be run: torch %s sees no CUDA device, and only 2.6 and newer see others" % torch.__version__
    return "a synthetic load cannot be run: torch sees no accelerator"
