"""Finds a StatefulDataLoader of torchdata whose workers take a snapshot of their state at each batch, by what that costs."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.per_batch import gain_per_batch, own_or_worst, severity_of, worker_cores
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.training import batch_seconds_of
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import duration_text, share_text

CODE = "states-saved"

STATEFUL_CLASS = "StatefulDataLoader"
MIN_SHARE = 0.10
"""Of the workers' time; less hardly makes a training slower."""
CHANGE = "snapshot_every_n_steps=100"


def find(context: Context) -> list[Finding]:
    """Returns one finding: about the subject, else about the setting whose workers lose most."""
    if context.loader_class != STATEFUL_CLASS:
        return []
    known = [(setting, share) for setting in context.settings if (share := _share(context, setting)) is not None]
    found = own_or_worst(context, known, lambda share: share)
    return [] if found is None else [_about(context, *found)]


def _share(context: Context, setting: SettingResult) -> float | None:
    """Returns the share of the workers' time in snapshots, if it is notable in most trials of a setting."""
    trials = context.trials_of(setting)
    shares = [share for trial in trials if (share := _share_of_trial(trial)) is not None and share >= MIN_SHARE]
    return mean(shares) if shares and 2 * len(shares) > len(trials) else None


def _share_of_trial(trial: TrialResult) -> float | None:
    costs = trial.batch_costs
    if costs is None or costs.keep_s is None:
        return None
    return costs.keep_s / (costs.fetch_s + costs.keep_s)


def _about(context: Context, setting: SettingResult, share: float) -> Finding:
    trials = context.trials_of(setting)
    keep_s = mean([trial.batch_costs.keep_s for trial in trials if trial.batch_costs is not None and trial.batch_costs.keep_s is not None])
    saved_s = _saved_seconds(context, setting, keep_s)
    gain_s = gain_per_batch(context, setting, saved_s)
    return Finding(
        code=CODE,
        severity=severity_of(context, setting, gain_s, 0.0),
        trials=setting.trials,
        message=(
            f"With {context.name_of(setting.config)} the workers take a snapshot of their state with each batch: {duration_text(keep_s)}, "
            f"{share_text(share)} of a worker's time. {STATEFUL_CLASS} does so by default (snapshot_every_n_steps=1)."
        ),
        evidence={"snapshot_s": keep_s, "snapshot_share": round(share, 4), "least_share": MIN_SHARE},
        advice=f"{CHANGE}{context.at_place} takes one now and then; a resumed training reads the batches since then again, and skips them.",
        gain_s=gain_s if gain_s is not None and gain_s.value > 0 else None,
        change=CHANGE,
    )


def _saved_seconds(context: Context, setting: SettingResult, keep_s: float) -> float:
    """Returns what a batch takes less without snapshots: the workers' part, as far as main waits for it."""
    waits_s = []
    for trial in context.trials_of(setting):
        costs, batch_s = trial.batch_costs, batch_seconds_of(trial)
        if costs is not None and batch_s is not None:
            waits_s.append(min(costs.receive_s or 0.0, batch_s))
    return min(keep_s / worker_cores(context, setting), mean(waits_s)) if waits_s else 0.0
