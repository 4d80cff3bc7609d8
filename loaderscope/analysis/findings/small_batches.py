"""Finds batches so small that what each of them costs besides its samples takes most of the time."""

from __future__ import annotations

import dataclasses

from loaderscope.analysis.findings import sampler_bound, transfer_bound
from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.per_batch import own_or_worst, worker_cores
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.training import batch_seconds_of
from loaderscope.facts.findings import Finding, Remedy
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import duration_text, share_text

CODE = "small-batches"

MIN_OVERHEAD_SHARE = 0.5
"""From here on a batch costs more on its way than in its making."""
LONGEST_BATCH_S = 0.002
"""A worker's batch costs up to a millisecond on its way, so that only batches that are made faster are small."""
MIN_WAIT_SHARE = 0.5
"""With less the consumer takes most of the time."""
LARGER = 8
"""The size that is advised, as a multiple."""
FEWEST_BATCHES = 10 * LARGER
"""With fewer in an epoch there is nothing left to compare after that."""


def find(context: Context) -> list[Finding]:
    """Returns one finding for information: the size of batches is a choice of the training."""
    shares = [(setting, share) for setting in context.settings if (share := _overhead_share(context, setting)) is not None]
    found = own_or_worst(context, shares, lambda share: share)
    return [] if found is None else [_about(context, *found)]


def _overhead_share(context: Context, setting: SettingResult) -> float | None:
    """Returns the share of the time of a batch in which none of its samples is made, if that is the reason for its time."""
    config, trials = setting.config, context.trials_of(setting)
    if not config.num_workers or config.backend == "thread" or not trials or (setting.wait_share or 0.0) < MIN_WAIT_SHARE:
        return None
    if sampler_bound.limits(context, setting) or transfer_bound.has_many_tensors(setting) or transfer_bound.load_of(context, setting):
        return None
    shares = [share for trial in trials if (share := _share_of_trial(context, setting, trial)) is not None]
    return mean(shares) if 2 * len(shares) > len(trials) else None


def _share_of_trial(context: Context, setting: SettingResult, trial: TrialResult) -> float | None:
    costs, batch_s = trial.batch_costs, batch_seconds_of(trial)
    if costs is None or not batch_s or batch_s > LONGEST_BATCH_S:
        return None
    share = 1.0 - (costs.fetch_s - costs.collate_s) / worker_cores(context, setting) / batch_s
    return share if share >= MIN_OVERHEAD_SHARE else None


def _about(context: Context, setting: SettingResult, share: float) -> Finding:
    trials = context.trials_of(setting)
    batch_s = mean([seconds for trial in trials if (seconds := batch_seconds_of(trial)) is not None])
    size = setting.config.batch_size if all((trial.epoch_batches or 0) >= FEWEST_BATCHES for trial in trials) else None
    change = "" if size is None else f"batch_size={LARGER * size}"
    return Finding(
        code=CODE,
        severity="info",
        trials=setting.trials,
        message=(
            f"With {context.name_of(setting.config)} a batch takes {duration_text(batch_s)}, and {share_text(share)} of that is no work on "
            "its samples: indices, collate, and the way to the main process cost as much for a small batch as for a large one."
        ),
        evidence={
            "overhead_share": round(share, 4),
            "batch_s": batch_s,
            "least_share": MIN_OVERHEAD_SHARE,
            "longest_batch_s": LONGEST_BATCH_S,
        },
        advice="Larger batches, or 0 workers, which send nothing; for evaluation the size of batches does not matter to the result.",
        change=change,
        remedy=Remedy(CODE, change) if change else None,
        config=dataclasses.replace(setting.config, batch_size=LARGER * size) if size is not None else None,
    )
