"""What the findings about workers and their copies of the dataset share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Place
from loaderscope.facts.probed_workers import ProbedEpoch
from loaderscope.facts.results import TrialResult
from loaderscope.facts.settings import find_matching

_MOST_PLACES = 4


def epochs_of_probe(trial: TrialResult) -> list[list[ProbedEpoch]]:
    """Returns the rows of a probe by epoch, for epochs in which at least two workers gave batches, in order of workers."""
    by_epoch: dict[int, list[ProbedEpoch]] = {}
    for row in sorted(trial.probed_epochs, key=lambda row: (row.epoch, row.worker)):
        if row.batches:
            by_epoch.setdefault(row.epoch, []).append(row)
    return [rows for rows in by_epoch.values() if len(rows) > 1]


def severity_with_workers(context: Context) -> str:
    """Returns `warning` for a fault of the dataset that shows with workers, unless the user has none and is not advised to have any."""
    current, advised = context.current, context.recommendation
    has_none = current is not None and not current.num_workers
    return "info" if has_none and (advised is None or not advised.config.num_workers) else "warning"


def keeps_workers(context: Context) -> bool:
    """Whether the workers of the user's own setting live through all epochs."""
    return context.current is not None and bool(context.current.num_workers and context.current.persistent_workers)


def is_own(context: Context, configs: Sequence[TrialConfig]) -> bool:
    """Whether the user's own setting, or else the setting that warnings are about, is among these."""
    subject = context.subject
    return find_matching(context.current, configs) is not None or (subject is not None and subject.config in configs)


def places_of(trial: TrialResult, rows: Iterable[ProbedEpoch]) -> list[Place]:
    """Returns where some epochs of workers lie on the timeline of a probe."""
    return [Place(trial.id, f"worker-{row.worker}", row.start_s, row.seconds) for row in list(rows)[:_MOST_PLACES]]


def at(place: str | None) -> str:
    """Returns words that follow a name: where it is set, without the folder; empty if unknown."""
    return "" if place is None else f" ({os.path.basename(place)})"
