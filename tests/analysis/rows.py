"""Rows of `trials` for tests: measured from a simulated trace, or made up."""

from __future__ import annotations

import dataclasses
from typing import Any

import synthetic

from loaderscope.agent.messages import ErrorInfo, TrialConfig, TrialOrder, TrialOutcome
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import EpochTimes, Memory, TrialResult
from loaderscope.facts.run import PlannedTrial
from loaderscope.trace.model import Trace


def config_of(workers: int, **changes: Any) -> TrialConfig:
    """A normalised setting."""
    values: dict[str, Any] = {"num_workers": workers, "batch_size": 32}
    if workers:
        values |= {"prefetch_factor": 2, "persistent_workers": False, "start_method": "fork", "in_order": True, "backend": "process"}
    return TrialConfig(**(values | changes))


def measure_trace(
    trace: Trace, config: TrialConfig, batches: int, epochs: int = 1, length: int | None = None, whole: bool = False, gave_all: bool = False
) -> TrialResult:
    """The row of a trial that went well and whose consumer received all its batches; `whole`: all of the data was asked for."""
    samples = batches * epochs * (config.batch_size or 1)
    outcome = TrialOutcome(1.0, batches * epochs, samples, [batches] * epochs, False, False, None, event_seconds=0.001, gave_all=gave_all)
    request = TrialOrder(0, "", config, batches=None if whole else batches, epochs=epochs)
    return analyse(trace, PlannedTrial(0, 0, config), request, TrialEnd("ok", None, outcome, 1.0, 0.02), dataset_length=length)


def measure(batches: int = 100, length: int | None = None, config: dict[str, Any] | None = None, **scenario: Any) -> TrialResult:
    """The row of a simulated trial; `scenario` are fields of `synthetic.Scenario`."""
    workers = scenario.setdefault("num_workers", 2)
    changes: dict[str, Any] = {"persistent_workers": scenario.get("persistent_workers", False)} if workers else {}
    if workers:
        changes |= {"prefetch_factor": scenario.get("prefetch_factor", 2), "start_method": scenario.get("start_method", "fork")}
    trace = synthetic.make_trace(batches=batches, **scenario)
    return measure_trace(trace, config_of(workers, **changes, **(config or {})), batches, scenario.get("epochs", 1), length)


def made_up(
    number: int,
    config: TrialConfig,
    rate: float,
    half: float | None = 0.0,
    first_batch_s: float = 0.0,
    repeat: int = 0,
    peak_bytes: int | None = None,
    length: int = 32_000,
    **fields: Any,
) -> TrialResult:
    """A row of a trial with this throughput (samples per second, half its interval) over a full epoch of `length` samples."""
    epoch_s = first_batch_s + length / rate
    relative = None if half is None else half / rate
    row = TrialResult(
        id=number,
        repeat=repeat,
        status="ok",
        config=config,
        seconds=epoch_s,
        batches=length // 32,
        samples=length,
        samples_per_second=Estimate(rate, None if half is None else (rate - half, rate + half)),
        epoch_s=Estimate(epoch_s, None if relative is None else (epoch_s * (1 - relative), epoch_s * (1 + relative))),
        epochs=[EpochTimes(first_batch_s, length / rate, 0.0, length // 32)],
        first_batch_s=first_batch_s,
        wait_share=0.5,
        transfer_share=0.0,
        step_share=0.0,
        other_share=0.5,
        memory=None if peak_bytes is None else Memory(peak_bytes, []),
    )
    return dataclasses.replace(row, **fields)


def failed(number: int, config: TrialConfig, kind: str, message: str = "It broke.", status: str = "failed", **told: str) -> TrialResult:
    """A trial that failed; `told` are further fields of its error."""
    return TrialResult(number, 0, status, config, ErrorInfo(kind, message, **told))
