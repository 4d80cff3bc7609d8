"""How much sooner a first batch comes where workers have less to do before it: from the phases of a trial without the remedy.

The first worker fetches once it is ready and main has started all of them:

    first fetch = max(all started, first worker ready)

Main starts workers one after another. A start ends at once, but where what the worker is sent does not fit into the pipe it
ends when that has read it, its interpreter and its imports behind it. So with `saved(w)` less to do in worker w:

    ready' = ready - saved(first worker)        all started' = all started - sum of saved(w) over the workers that main waited for
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from loaderscope.analysis.startup.preloading import ScriptImport, seconds_of
from loaderscope.analysis.startup.start_costs import FIRST_WORKER, first_batches, median, phase_seconds, server_seconds
from loaderscope.facts.results import Phase, TrialResult

Saved = Callable[[str], float | None]
"""Seconds that a worker, by its name, has less to do before it is ready; None where that is not known."""


def sooner(trial: TrialResult, epoch: int, saved: Saved) -> float | None:
    """Seconds that the first batch of an epoch comes sooner; None where the trial does not tell."""
    fetch_s, saved_s = first_fetch(trial, epoch), saved(FIRST_WORKER)
    if fetch_s is None or saved_s is None:
        return None
    started_s = min(fetch_s, phase_seconds(trial, epoch, "main", "iterator") or 0.0)
    ready_s = fetch_s - (phase_seconds(trial, epoch, FIRST_WORKER, "index_wait") or 0.0)
    waited_s = sum(saved(worker) or 0.0 for worker in _waited_for(trial, epoch))
    return max(started_s, ready_s) - max(started_s - waited_s, ready_s - saved_s)


def _waited_for(trial: TrialResult, epoch: int) -> list[str]:
    """The workers whose start lasted until they had imported the script."""
    found = []
    for worker, start in _starts(trial, epoch).items():
        if any(_end(start) >= _end(imported) for imported in _phases(trial, epoch, worker, "main_import")):
            found.append(worker)
    return found


def until_there(trial: TrialResult, epoch: int, worker: str) -> float | None:
    """Seconds from main's call to start a worker until that has all it is sent, without the start of a fork server before it."""
    start, unpickles = _starts(trial, epoch).get(worker), _phases(trial, epoch, worker, "unpickle")
    if start is None or not unpickles:
        return None
    server_s = server_seconds(trial, epoch) if worker == FIRST_WORKER else 0.0
    return _end(unpickles[-1]) - start.start_s - server_s


def _starts(trial: TrialResult, epoch: int) -> dict[str, Phase]:
    return {f"worker-{number}": start for number, start in enumerate(_phases(trial, epoch, "main", "start_worker"))}


def _phases(trial: TrialResult, epoch: int, process: str, name: str) -> list[Phase]:
    """Of one kind, in their order."""
    phases = trial.startup.phases if trial.startup is not None else []
    found = [one for one in phases if (one.epoch, one.process, one.phase) == (epoch, process, name)]
    return sorted(found, key=lambda one: one.start_s)


def _end(phase: Phase) -> float:
    return phase.start_s + phase.seconds


def first_fetch(trial: TrialResult, epoch: int) -> float | None:
    """When the first worker began its first fetch, from the epoch's iter()."""
    return next((phase.start_s for phase in _phases(trial, epoch, FIRST_WORKER, "first_fetch")), None)


def loop_entry(trial: TrialResult) -> float | None:
    """Seconds from the first worker's being there with all that it is sent to its first look for indices, the median of the epochs."""
    return median(phase_seconds(trial, epoch, FIRST_WORKER, "loop_entry") for epoch in range(len(trial.epochs)))


def from_fetch_on(trial: TrialResult) -> float | None:
    """Seconds from the first fetch to the first batch, the median of the epochs."""
    begins = [first_fetch(trial, epoch) for epoch in range(len(trial.epochs))]
    return median(whole - begin for whole, begin in zip(first_batches(trial), begins, strict=True) if begin is not None)


def spared_imports(trial: TrialResult, epoch: int, worker: str, modules: Sequence[str]) -> float | None:
    """Seconds that a worker spent on importing `modules` in its start; None where it imported no script, or that is not known."""
    if trial.startup is None or not _phases(trial, epoch, worker, "main_import"):
        return None
    found = [
        ScriptImport(one.name, one.seconds, one.within)
        for one in trial.startup.start_imports
        if (one.epoch, one.process) == (epoch, worker)
    ]
    there = [part for name in modules for part in itertools.accumulate(name.split("."), "{}.{}".format)]  # the packages around it, too
    return seconds_of(found) - seconds_of(found, there)
