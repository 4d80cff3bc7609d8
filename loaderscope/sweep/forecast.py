"""Forecasts a sweep before it starts: its trials, their time and memory, from what the probe of the script found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from loaderscope.agent.messages import Target
from loaderscope.analysis.startup.preloading import script_imports_of
from loaderscope.facts.request import Request
from loaderscope.facts.run import PlannedTrial
from loaderscope.facts.startup_results import SentPart
from loaderscope.sweep.machine import Machine
from loaderscope.sweep.machine_limits import DataCost, Measured, SweepEstimate, commit_sentence, estimate, mark_limits
from loaderscope.sweep.space import Facts, narrowed, plan


@dataclasses.dataclass(frozen=True)
class SweepForecast:
    """The schedule as it would run now, and the time and memory that it is expected to take."""

    plan: list[PlannedTrial]
    estimate: SweepEstimate
    available_bytes: int
    commit: str | None  # a sentence: the number of workers from which Windows is expected to refuse more memory

    @property
    def skipped(self) -> list[str]:
        """The reason of each setting that would be skipped."""
        return [trial.skip[1] for trial in self.plan if trial.skip is not None]


def facts_of(environment: dict[str, Any]) -> Facts:
    """The facts that the plan needs, from the `environment` of the JSON document."""
    return Facts(
        usable_cpus=environment["usable_cpus"],
        start_methods=tuple(environment["start_methods"]),
        sharing_strategies=tuple(environment.get("sharing_strategies") or ()),
        default_start_method=environment["default_start_method"],
        accelerator=environment.get("accelerator"),
        script_imports=script_imports_of(environment),
        python=environment.get("python"),
    )


def data_cost(sample: dict[str, Any] | None, sent: Sequence[SentPart] = ()) -> DataCost:
    """The cost of the data, from the probe of a sample (None: not probed) and from the parts of the dataset that workers are sent."""
    shared_bytes = sum(part.shared_bytes for part in sent)
    if sample is None:
        return DataCost(shared_bytes=shared_bytes)
    return DataCost(
        shared_bytes=shared_bytes,
        sample_bytes=sample.get("bytes"),
        sample_tensors=max(1, int(sample.get("tensors") or 1)),
        sample_seconds=sample.get("seconds"),
        main_bytes=sample.get("main_bytes"),
        worker_bytes=sample.get("worker_bytes"),
    )


def forecast_sweep(
    request: Request,
    target: Target,
    environment: dict[str, Any],
    sample: dict[str, Any] | None,
    machine: Machine,
    *,
    measured: Measured | None = None,
) -> SweepForecast:
    """Plans the sweep as the pool would, and estimates its time and memory.

    Args:
        request: the sweep.
        target: its target.
        environment: the `environment` of the JSON document.
        sample: the probe of a sample; None: not probed.
        machine: the limits of this machine.
        measured: an earlier sweep of the same target; its times and peaks take precedence over computed ones.

    Raises:
        SweepError: see `narrowed`.
    """
    request = narrowed(request)
    facts = facts_of(environment)
    cost = dataclasses.replace(data_cost(sample), imports=facts.script_imports)
    trials = mark_limits(plan(request, target, facts), cost, machine, request.force)
    expected = estimate(trials, request, cost, machine, target.length, measured=measured)
    return SweepForecast(trials, expected, machine.memory_available_bytes, commit_sentence(machine, cost))
