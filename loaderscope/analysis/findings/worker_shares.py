"""Finds workers that give nothing, and one worker that does much more than the others: from the records of any trial."""

from __future__ import annotations

from collections.abc import Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.findings import probed
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding, Place
from loaderscope.facts.probed_workers import WorkerLoad
from loaderscope.facts.results import TrialResult
from loaderscope.facts.text import count_text, duration_text, enumerated

MIN_BUSIEST_BATCHES = 4
"""The busiest worker gives so many batches in each epoch: with fewer, others may not have had their turn."""
MAX_IDLE_SHARE = 0.05
"""A worker that gives at most this share of the batches of the busiest one is idle."""
MIN_IMBALANCE = 1.3
"""The busiest worker's work, over the mean of all; with two workers it then does 1.9 times as much as the other."""
MIN_COMPARED_BATCHES = 6
"""Fewest batches of each worker over the trial; the time of a fetch is a median, which a few slow samples do not move."""
MIN_FETCH_S = 0.001
"""Shorter fetches differ by chance."""


SPLIT_ADVICE = "Split the data into as many parts (shards) as there are workers."


def find(context: Context) -> list[Finding]:
    """Returns one finding about idle workers, and one about the setting whose workers differ most."""
    trials = [trial for trial in [*context.good, *context.probes] if trial.config.num_workers > 1 and trial.worker_loads]
    idle = [(trial, workers) for trial in trials if (workers := idle_workers_of(trial))]
    uneven = [
        (trial, ratio)
        for trial in context.good
        if trial in trials and not idle_workers_of(trial) and (ratio := _imbalance(trial)) >= MIN_IMBALANCE
    ]
    return [*([_about_idle(context, idle)] if idle else []), *([_about_uneven(context, uneven)] if uneven else [])]


def idle_workers_of(trial: TrialResult) -> list[WorkerLoad]:
    """Returns the workers that gave nothing or nearly nothing in every epoch; none where incomplete batches were dropped."""
    most = [max(counts) for counts in zip(*(load.batches for load in trial.worker_loads), strict=True)]
    if trial.dropped_samples or not most or min(most) < MIN_BUSIEST_BATCHES:
        return []
    return [
        load
        for load in trial.worker_loads
        if all(load.fetches) and all(batches <= MAX_IDLE_SHARE * busiest for batches, busiest in zip(load.batches, most, strict=True))
    ]


def _about_idle(context: Context, found: list[tuple[TrialResult, list[WorkerLoad]]]) -> Finding:
    own = [one for one in found if probed.is_own(context, [one[0].config])]
    trial, idle = max(own or found, key=lambda one: (one[0] in context.good, one[0].config.num_workers))
    workers, active = trial.config.num_workers, trial.config.num_workers - len(idle)
    names = enumerated([str(load.worker) for load in idle])
    batches = sum(sum(load.batches) for load in idle)
    gives = "gives no batch" if not batches else f"gives {count_text(batches, 'batch')}"
    gain_s = _gain_of_shares(context, trial.config, active / min(workers, context.usable_cpus or workers))
    return Finding(
        code="idle-workers",
        severity="warning" if own else "info",
        trials=sorted(one.id for one, _ in found),
        message=(
            f"With {context.name_of(trial.config)} worker {names} {gives if len(idle) == 1 else gives.replace('gives', 'give')}, and all "
            f"the work is left to {count_text(active, 'worker')}: the dataset is not split into as many parts as there are workers."
        ),
        evidence={
            "batches": {f"worker-{load.worker}": sum(load.batches) for load in trial.worker_loads},
            "idle_workers": [load.worker for load in idle],
            "max_idle_share": MAX_IDLE_SHARE,
        },
        advice=f"More workers than {active} only take memory and time to start. {SPLIT_ADVICE}",
        gain_s=gain_s,
        places=[Place(trial.id, f"worker-{load.worker}", load.start_s, load.seconds) for load in idle[:4]],
        change=f"num_workers={active}",
    )


def _gain_of_shares(context: Context, config: TrialConfig, busy_share: float) -> Estimate | None:
    """Returns what evenly shared work saves while main waits for it.

    Args:
        context: of the run.
        config: the setting.
        busy_share: how long evenly shared work would take, over the time that it takes.
    """
    setting = next((setting for setting in context.settings if setting.config == config), None)
    if setting is None or setting.wait_share is None or busy_share >= 1.0:
        return None
    return context.gain_of_share(setting, setting.wait_share * (1.0 - busy_share))


def _work_s(trial: TrialResult) -> dict[int, list[float]]:
    """Returns the seconds that each worker fetches in each epoch."""
    return {
        load.worker: [(fetch_s or 0.0) * batches for fetch_s, batches in zip(load.fetch_s, load.batches, strict=True)]
        for load in trial.worker_loads
    }


def _imbalance(trial: TrialResult) -> float:
    """Returns the work of the busiest worker over the mean of all, at least; 0 if it is not the same one in every epoch."""
    loads = trial.worker_loads
    if trial.is_disturbed or any(sum(load.batches) < MIN_COMPARED_BATCHES for load in loads):
        return 0.0
    if min(max(load.fetch_s[epoch] or 0.0 for load in loads) for epoch in range(len(loads[0].fetch_s))) < MIN_FETCH_S:
        return 0.0
    by_epoch = list(zip(*_work_s(trial).values(), strict=True))
    busiest = {work.index(max(work)) for work in by_epoch}
    ratios = [max(work) * len(work) / sum(work) for work in by_epoch]
    return min(ratios) if len(busiest) == 1 else 0.0


def _about_uneven(context: Context, found: Sequence[tuple[TrialResult, float]]) -> Finding:
    own = [one for one in found if probed.is_own(context, [one[0].config])]
    trial, ratio = max(own or found, key=lambda one: one[1])
    loads, work = trial.worker_loads, {worker: sum(seconds) for worker, seconds in _work_s(trial).items()}
    worker = max(work, key=lambda number: work[number])
    busiest = next(load for load in loads if load.worker == worker)
    others = [load for load in loads if load is not busiest]
    mean_batches = sum(sum(load.batches) for load in others) / len(others)
    has_more = sum(busiest.batches) >= MIN_IMBALANCE * mean_batches
    other_s = sorted(fetch_s for load in others for fetch_s in load.fetch_s if fetch_s is not None)[-1]
    gain_s = _gain_of_shares(context, trial.config, 1.0 / ratio)
    setting = next((setting for setting in context.settings if setting.config == trial.config), None)
    why = (
        f"it gives {count_text(sum(busiest.batches), 'batch')}, the others {round(mean_batches)} each"
        if has_more
        else f"a fetch takes {duration_text(max(filter(None, busiest.fetch_s)))} instead of at most {duration_text(other_s)}"
    )
    return Finding(
        code="worker-imbalance",
        severity="info" if setting is None else context.severity_of_gain(setting, gain_s),
        trials=sorted(one.id for one, _ in found),
        message=f"With {context.name_of(trial.config)} worker {worker} has {ratio:.1f} times the work of the average worker: {why}.",
        evidence={
            "work_ratio": round(ratio, 4),
            "min_work_ratio": MIN_IMBALANCE,
            "work_s": {f"worker-{number}": round(seconds, 6) for number, seconds in work.items()},
            "batches": {f"worker-{load.worker}": sum(load.batches) for load in loads},
        },
        advice=(
            "Give each worker as many samples: parts (shards) of the same size."
            if has_more
            else "Costly samples lie where this worker's turn comes each time: shuffle, or mix them evenly."
        ),
        gain_s=gain_s,
        places=[Place(trial.id, f"worker-{worker}", busiest.start_s, busiest.seconds)],
        change="" if has_more else "shuffle=True",
    )
