"""Finds what workers change in their copies of the dataset: state that is lost or diverges, and caches that die with them each epoch."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from loaderscope.analysis.findings import probed
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding, Remedy
from loaderscope.facts.probed_workers import ChangedAttribute, ProbedEpoch
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import duration_text, enumerated, share_text

MIN_CHANGES = 3
"""An attribute that changes after fewer of the first batches is prepared once: a file that is opened, a table that is read."""
MIN_ENTRIES_PER_SAMPLE = 0.5
"""A container that grows by so many entries for each sample holds samples."""
MIN_SAVED_SHARE = 0.3
"""A cache saves at least this share of an epoch once it is filled; page caches and chance may save less."""
MIN_SAVED_SHARE_DISTURBED = 0.7
"""Likewise where other programs disturbed the trial."""
MAX_DISK_SHARE = 0.2
"""Where the first epoch read more from the disk, the second may be faster for that reason."""
_NUMBERS = ("int", "float")


class _Kept(NamedTuple):
    """What an epoch takes with an empty and with a filled cache, in a trial whose copy of the dataset lives on."""

    trial: TrialResult
    first_s: float
    second_s: float

    @property
    def saved_share(self) -> float:
        return 1.0 - self.second_s / self.first_s

    @property
    def least_saved_share(self) -> float:
        """The share from which on it is sure that the cache saves time."""
        return MIN_SAVED_SHARE_DISTURBED if self.trial.is_disturbed else MIN_SAVED_SHARE


def find(context: Context) -> list[Finding]:
    """Returns one finding about a cache that is lost, and one about other state."""
    for trial in context.probes:
        epochs = probed.epochs_of_probe(trial)
        if len(epochs) < 2:
            continue
        row, later = epochs[0][0], next((row for row in epochs[1] if row.worker == epochs[0][0].worker), None)
        changed = [one for one in row.attributes if one.changes >= MIN_CHANGES]
        caches = [one for one in changed if _may_be_cache(one, row)]
        kept = _kept_cache(context) if caches else None
        if caches and kept is not None and not probed.keeps_workers(context):
            return [_about_cache(context, trial, caches, kept, epochs)]
        is_stream = row.hashed_samples is not None  # its position changes, and starts again with each epoch
        silent = caches if probed.keeps_workers(context) else []  # such a cache is fine
        others = [one for one in changed if one not in silent and not (is_stream and one.kind in _NUMBERS)]
        if others and later is not None:
            return [_about_state(context, trial, others, row)]
    return []


def _may_be_cache(attribute: ChangedAttribute, row: ProbedEpoch) -> bool:
    if attribute.kind in _NUMBERS or attribute.start is None or attribute.end is None:
        return False
    return attribute.end - attribute.start >= MIN_ENTRIES_PER_SAMPLE * max(1, row.samples)


def _kept_cache(context: Context) -> _Kept | None:
    """Returns the trial that gains most from a filled cache: one without workers, or whose workers live on. None if none gains much."""
    kept = [
        _Kept(trial, first_s, second_s)
        for trial in context.good
        if (not trial.config.num_workers or trial.config.persistent_workers)
        and trial.config.backend != "thread"
        and (trial.disk_share or 0.0) <= MAX_DISK_SHARE
        and (first_s := _paced_s(trial, 0)) is not None
        and (second_s := _paced_s(trial, 1)) is not None
    ]
    gaining = [one for one in kept if one.first_s > 0 and one.saved_share >= one.least_saved_share]
    return max(gaining, key=lambda one: one.saved_share, default=None)


def _paced_s(trial: TrialResult, epoch: int) -> float | None:
    """Returns the seconds of an epoch for each batch after its first one, which starts workers."""
    if epoch >= len(trial.epochs):
        return None
    times = trial.epochs[epoch]
    return None if times.steady_s is None or times.batches < 2 else times.steady_s / (times.batches - 1)


def _about_cache(
    context: Context, trial: TrialResult, caches: list[ChangedAttribute], kept: _Kept, epochs: list[list[ProbedEpoch]]
) -> Finding:
    setting = _losing_setting(context)
    gain_s = None if setting is None else _gain(context, setting, kept)
    names = enumerated([f"{cache.name}{probed.at(cache.place)}" for cache in caches])
    how = "without workers" if not kept.trial.config.num_workers else "with persistent workers"
    return Finding(
        code="cache-lost",
        severity="info" if setting is None else context.severity_of_gain(setting, gain_s),
        trials=sorted({trial.id, kept.trial.id}),
        message=(
            f"The dataset's {names}, a cache, dies with the workers at the end of each epoch: a worker had {round(caches[0].end or 0.0)} "
            f"entries then, and began the next epoch with {round(caches[0].start or 0.0)}. Kept, it saves {share_text(kept.saved_share)} "
            f"of an epoch: {how} a batch of the second epoch takes {duration_text(kept.second_s)} instead of {duration_text(kept.first_s)}."
        ),
        evidence={
            "caches": [cache.name for cache in caches],
            "places": [cache.place for cache in caches],
            "entries": caches[0].end,
            "first_epoch_batch_s": kept.first_s,
            "second_epoch_batch_s": kept.second_s,
            "saved_share": round(kept.saved_share, 4),
            "min_saved_share": MIN_SAVED_SHARE,
        },
        advice=(
            f"persistent_workers=True{context.at_place} keeps it, one for each worker; or fill it before the workers start, or in shared "
            "memory."
        ),
        gain_s=gain_s,
        places=probed.places_of(trial, epochs[1]),
        change="persistent_workers=True",
        remedy=None if setting is None else Remedy("cache-lost", "persistent_workers=True"),
        config=None if setting is None else dataclasses.replace(setting.config, persistent_workers=True),
    )


def _losing_setting(context: Context) -> SettingResult | None:
    """Returns the setting to speak of whose workers lose the cache: the subject, else the fastest."""
    losing = [setting for setting in context.settings if setting.config.num_workers and setting.config.persistent_workers is False]
    subject = context.subject
    if subject in losing:
        return subject
    return min((setting for setting in losing if setting.train_s is not None), key=lambda setting: setting.train_s or 0.0, default=None)


def _gain(context: Context, setting: SettingResult, kept: _Kept) -> Estimate | None:
    """Returns what the filled cache saves in all epochs but the first."""
    trials = context.trials_of(setting)
    epochs = context.training.epochs_of(trials[0]) if trials else 1.0
    return context.gain_of_share(setting, kept.saved_share * (epochs - 1.0) / epochs) if epochs > 1.0 else None


def _about_state(context: Context, trial: TrialResult, changed: list[ChangedAttribute], row: ProbedEpoch) -> Finding:
    first = changed[0]
    names = enumerated([f"{one.name}{probed.at(one.place)}" for one in changed])
    amounts = ""
    if first.start is not None and first.end is not None:
        what = "goes" if first.kind in _NUMBERS else "grows"
        amounts = f": in worker {row.worker} {first.name} {what} from {first.start:g} to {first.end:g}"
    stays = "each worker goes on with its own" if probed.keeps_workers(context) else "the change is lost when the epoch ends"
    return Finding(
        code="shared-state",
        severity="info",
        trials=[trial.id],
        message=f"Workers change {names} of their own copies of the dataset{amounts}. The main process never sees it, and {stays}.",
        evidence={
            "attributes": {one.name: {"start": one.start, "end": one.end, "changes": one.changes} for one in changed},
            "places": [one.place for one in changed],
            "min_changes": MIN_CHANGES,
        },
        advice=(
            "If it must hold for all processes, keep it in shared memory (a tensor after share_memory_(), multiprocessing.Value), or in "
            "main."
        ),
        places=probed.places_of(trial, [row]),
    )
