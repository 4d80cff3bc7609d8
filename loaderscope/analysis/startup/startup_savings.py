"""Predicts how much sooner the first batch comes if workers have less to do before it, from the phases of a trial.

The first worker fetches once it is ready and main has started all workers:

    first fetch = max(all started, first worker ready)

Main starts workers one after another. A start ends at once, unless the worker's pickle exceeds the pipe: then it ends when the
worker has read the pickle, after starting its interpreter and importing the script. So with `saved(w)` less to do in worker w:

    ready' = ready - saved(first worker)        all started' = all started - sum of saved(w) over the workers that main waited for
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from loaderscope.analysis.startup.preloading import ScriptImport, import_seconds
from loaderscope.analysis.startup.start_costs import FIRST_WORKER, first_batch_seconds, median, phase_seconds, server_seconds
from loaderscope.facts.results import TrialResult
from loaderscope.facts.startup_results import Phase

SavedByWorker = Callable[[str], float | None]
"""Returns the seconds that a worker, by its name, saves before it is ready; None if unknown."""


def first_batch_saving_s(trial: TrialResult, epoch: int, saved: SavedByWorker) -> float | None:
    """Returns by how many seconds the first batch of an epoch comes sooner; None if the trial does not show it."""
    fetch_s, saved_s = first_fetch_s(trial, epoch), saved(FIRST_WORKER)
    if fetch_s is None or saved_s is None:
        return None
    started_s = min(fetch_s, phase_seconds(trial, epoch, "main", "iterator") or 0.0)
    ready_s = fetch_s - (phase_seconds(trial, epoch, FIRST_WORKER, "index_wait") or 0.0)
    waited_s = sum(saved(worker) or 0.0 for worker in _workers_waited_for(trial, epoch))
    return max(started_s, ready_s) - max(started_s - waited_s, ready_s - saved_s)


def _workers_waited_for(trial: TrialResult, epoch: int) -> list[str]:
    """Returns the workers whose start lasted until they had imported the script."""
    found = []
    for worker, start in _starts(trial, epoch).items():
        if any(_end_s(start) >= _end_s(imported) for imported in _phases(trial, epoch, worker, "main_import")):
            found.append(worker)
    return found


def seconds_until_unpickled(trial: TrialResult, epoch: int, worker: str) -> float | None:
    """Returns the seconds from main's call to start a worker until it has unpickled all it is sent, without a fork server's start."""
    start, unpickles = _starts(trial, epoch).get(worker), _phases(trial, epoch, worker, "unpickle")
    if start is None or not unpickles:
        return None
    server_s = server_seconds(trial, epoch) if worker == FIRST_WORKER else 0.0
    return _end_s(unpickles[-1]) - start.start_s - server_s


def _starts(trial: TrialResult, epoch: int) -> dict[str, Phase]:
    return {f"worker-{number}": start for number, start in enumerate(_phases(trial, epoch, "main", "start_worker"))}


def _phases(trial: TrialResult, epoch: int, process: str, name: str) -> list[Phase]:
    """Returns the phases with a name of a process in an epoch, by start."""
    phases = trial.startup.phases if trial.startup is not None else []
    found = [one for one in phases if (one.epoch, one.process, one.phase) == (epoch, process, name)]
    return sorted(found, key=lambda one: one.start_s)


def _end_s(phase: Phase) -> float:
    return phase.start_s + phase.seconds


def first_fetch_s(trial: TrialResult, epoch: int) -> float | None:
    """Returns the seconds from the epoch's iter() to the first worker's first fetch."""
    return next((phase.start_s for phase in _phases(trial, epoch, FIRST_WORKER, "first_fetch")), None)


def loop_entry_seconds(trial: TrialResult) -> float | None:
    """Returns the seconds that the first worker takes from unpickling to its first look for indices, the median of the epochs."""
    return median(phase_seconds(trial, epoch, FIRST_WORKER, "loop_entry") for epoch in range(len(trial.epochs)))


def seconds_from_first_fetch(trial: TrialResult) -> float | None:
    """Returns the seconds from the first fetch to the first batch, the median of the epochs."""
    begins = [first_fetch_s(trial, epoch) for epoch in range(len(trial.epochs))]
    return median(whole - begin for whole, begin in zip(first_batch_seconds(trial), begins, strict=True) if begin is not None)


def spared_import_seconds(trial: TrialResult, epoch: int, worker: str, modules: Sequence[str]) -> float | None:
    """Returns the seconds that a worker's start spent on importing `modules`; None if it did not import the script, or if unknown."""
    if trial.startup is None or not _phases(trial, epoch, worker, "main_import"):
        return None
    found = [
        ScriptImport(one.name, one.seconds, one.within)
        for one in trial.startup.start_imports
        if (one.epoch, one.process) == (epoch, worker)
    ]
    preloaded = [part for name in modules for part in itertools.accumulate(name.split("."), "{}.{}".format)]  # the packages around it, too
    return import_seconds(found) - import_seconds(found, preloaded)
