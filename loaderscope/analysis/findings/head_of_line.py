"""Finds slow samples that hold up batches which are ready.

One slow fetch proves nothing: the system's scheduler may have given the core to another thread. A slow fetch counts if the thread
really computed for most of it. Another one counts if it is slow even without all the time for which its process waited for a core about
then, and either the same sample is so again in another epoch or trial, or several samples of the trial are so.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.per_batch import MOST_PLACES, training_seconds
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.late_batches import is_slow_fetch
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.evidence import LateBatch
from loaderscope.facts.findings import Finding, Place, Remedy
from loaderscope.facts.measures import NOTABLE_SHARE
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import count_text, duration_text, enumerated, share_text

CODE = "slow-sample"
CHANGE = "in_order=False"

MIN_SHARE = 0.10
COMPUTED_SHARE = 0.5
"""A fetch was computing if its CPU time is at least this share of its time."""
MIN_SLOW_SAMPLES = 3
"""So many slow samples in one trial that did not wait for a core are no chance."""
FIRST_WITHOUT_ORDER = (2, 6)
"""The first version of torch that has `in_order`."""


class _SlowFetch(NamedTuple):
    trial: TrialResult
    late: LateBatch

    @property
    def is_computing(self) -> bool:
        cpu_s = self.late.fetch_cpu_s
        return cpu_s is not None and cpu_s >= COMPUTED_SHARE * self.late.fetch_s

    @property
    def is_for_want_of_a_core(self) -> bool | None:
        """Whether the fetch may be slow only because its process waited for a core; None if that is unknown."""
        if self.late.run_delay_s is None:
            beside = self.trial.disturbance
            return False if beside is not None and beside.run_delay_cores is None and not beside.is_disturbed else None
        usual_s = (self.trial.signs.fetch_s if self.trial.signs else None) or 0.0
        return not is_slow_fetch(self.late.fetch_s - self.late.run_delay_s, usual_s)

    @property
    def is_sure(self) -> bool:
        """Whether it is slow for another reason than waiting for a core."""
        return self.is_computing or self.is_for_want_of_a_core is False

    def is_same_sample(self, other: _SlowFetch) -> bool:
        """Whether both fetched the same sample, or the same batch if a sample is unknown, but not in the same epoch of one trial."""
        mine, theirs = self.late, other.late
        if self.trial.id == other.trial.id and mine.epoch == theirs.epoch:
            return False
        if mine.sample is not None and theirs.sample is not None:
            return mine.sample == theirs.sample
        same_size = self.trial.config.batch_size == other.trial.config.batch_size
        return same_size and (mine.epoch, mine.batch) == (theirs.epoch, theirs.batch)


def find(context: Context) -> list[Finding]:
    """Returns one finding about the trial that suffers most; slow samples are a fault of the dataset."""
    proven = _proven([_SlowFetch(trial, late) for trial in context.good if trial.signs for late in trial.signs.late_batches])
    worst = {fetch.trial.id: fetch for fetch in reversed(proven) if _held_up_share(fetch.trial) >= MIN_SHARE}
    if not worst:
        return []
    trial, late = max(worst.values(), key=lambda fetch: _held_up_share(fetch.trial))
    worker = "" if late.worker is None else f" in worker {late.worker}"
    sample = ""
    if late.sample is not None and late.sample_s is not None:
        sample = f"; sample {late.sample} alone took {duration_text(late.sample_s)}"
    usual = f" instead of {duration_text(trial.signs.fetch_s)}" if trial.signs and trial.signs.fetch_s is not None else ""
    behind = f", and {count_text(late.held_up, 'later batch')} lay ready" if late.held_up else ""
    own = [fetch for fetch in proven if fetch.trial.id == trial.id]
    samples = list(dict.fromkeys(fetch.late.sample for fetch in own if fetch.late.sample is not None))
    others = f" The slow samples are {enumerated([str(number) for number in samples], most=5)}." if len(samples) > 1 else ""
    gain_s = _gain(context, trial)
    return [
        Finding(
            code=CODE,
            severity=_severity(context, trial, gain_s),
            trials=sorted(worst),
            message=(
                f"Slow samples hold up the line: with {context.name_of(trial.config)} the main process waits "
                f"{share_text(_held_up_share(trial))} of the time for a late batch while later ones lie ready. "
                f"Batch {late.batch} of epoch {late.epoch}{worker} took {duration_text(late.fetch_s)}{usual}{sample}{behind}.{others}"
            ),
            evidence={
                "held_up_share": _held_up_share(trial),
                "least_share": MIN_SHARE,
                "batch": late.batch,
                "epoch": late.epoch,
                "worker": late.worker,
                "sample": late.sample,
                "samples": samples,
                "held_up": late.held_up,
            },
            advice=(
                f"{CHANGE}{context.at_place} (torch 2.6 and newer) hands out what is ready, if the order of batches does not matter; "
                "else make these samples cheaper."
            ),
            gain_s=gain_s,
            places=_places(own),
            **_remedy(context, trial),
        )
    ]


def _setting_of(context: Context, trial: TrialResult) -> SettingResult | None:
    return next((setting for setting in context.settings if trial.id in setting.trials), None)


def _gain(context: Context, trial: TrialResult) -> Estimate | None:
    """Returns what `in_order=False` gains: as tried, else by prediction.

    Then main does not wait while other batches lie ready. Nor can it gain more than the time for which workers idle, because the held up
    batches fill the queue.
    """
    setting = _setting_of(context, trial)
    if setting is None:
        return None
    without_order = dataclasses.replace(setting.config, in_order=False)
    tried = [row for row in [*context.remedied(CODE), *context.settings] if row.config == without_order]
    if tried and without_order != setting.config:
        gain_s = context.gain_between(setting, tried[0])
        return gain_s if gain_s is not None and gain_s.value > 0 else None
    shares = []
    for one in context.trials_of(setting):
        idle_share = one.batch_costs.idle_share if one.batch_costs is not None else None
        shares.append(min(_held_up_share(one), 1.0 if idle_share is None else idle_share))
    return context.gain_of_share(setting, mean(shares))


def _severity(context: Context, trial: TrialResult, gain_s: Estimate | None) -> str:
    """Returns `info` where the order of the batches hardly costs the training anything."""
    setting = _setting_of(context, trial)
    train_s = training_seconds(context, setting) if setting is not None else None
    return "info" if gain_s is not None and train_s and gain_s.value < NOTABLE_SHARE * train_s else "warning"


def _places(fetches: Sequence[_SlowFetch]) -> list[Place]:
    """Returns main's longest waits for these fetches."""
    late = [(fetch.trial.id, fetch.late) for fetch in fetches if fetch.late.start_s is not None]
    longest = sorted(late, key=lambda pair: -pair[1].wait_s)[:MOST_PLACES]
    return [Place(number, "main", one.start_s, one.wait_s) for number, one in longest if one.start_s is not None]


def _remedy(context: Context, trial: TrialResult) -> dict[str, Any]:
    """Returns the fields of the finding that say what can be tried; none for a torch that has no such argument."""
    config = trial.config
    if config.num_workers < 2 or config.backend == "thread" or not config.in_order:
        return {}
    version = [int(part) for part in str(context.environment.get("torch", "")).split(".")[:2] if part.isdigit()]
    if len(version) == 2 and tuple(version) < FIRST_WITHOUT_ORDER:
        return {}
    return {"change": CHANGE, "remedy": Remedy(CODE, CHANGE), "config": dataclasses.replace(config, in_order=False)}


def _proven(fetches: Sequence[_SlowFetch]) -> list[_SlowFetch]:
    """Returns the slow fetches that are the dataset's own, in their order."""
    own = [fetch for fetch in fetches if fetch.is_computing or not fetch.is_for_want_of_a_core]
    sure_counts = Counter(fetch.trial.id for fetch in own if fetch.is_sure)

    def is_again(fetch: _SlowFetch, other: _SlowFetch) -> bool:
        """Whether a sample is slow again. That the same batch is late again may be chance if both may have waited for a core."""
        is_certain = fetch.is_sure and other.is_sure
        has_samples = fetch.late.sample is not None and other.late.sample is not None
        return (is_certain or has_samples) and fetch.is_same_sample(other)

    proven = [
        fetch
        for fetch in own
        if fetch.is_computing
        or (fetch.is_sure and sure_counts[fetch.trial.id] >= MIN_SLOW_SAMPLES)
        or any(is_again(fetch, other) for other in own)
    ]
    # where its process waited for a core besides, a sample known to be slow held up the line, too
    return [fetch for fetch in fetches if fetch in proven or any(fetch.is_same_sample(other) for other in proven)]


def _held_up_share(trial: TrialResult) -> float:
    return (trial.signs.held_up_share if trial.signs else None) or 0.0
