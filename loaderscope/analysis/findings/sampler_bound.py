"""Finds a sampler or batch sampler that main waits for. torch runs it in the main process, so that workers cannot help."""

from __future__ import annotations

from typing import NamedTuple

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.per_batch import (
    cores_of,
    gain_per_batch,
    own_or_worst,
    places_of,
    severity_of,
    training_seconds,
    worker_cores,
)
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.training import batch_seconds_of
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding
from loaderscope.facts.measures import NOTABLE_SHARE
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import duration_text, share_text

CODE = "sampler-bound"

MIN_SHARE = 0.20
"""Share of the steady state from which on it is a bottleneck: TensorFlow's input-pipeline analyzer draws the line there."""
MIN_SHARE_OF_WAIT = 0.5
"""The sampler is what main waits for if it takes at least this part of the waits."""
BUSY_WORKERS = 0.9
"""Workers that are busy for this share of the time of a batch are the limit, not the sampler."""
MIN_START_S = 0.1
"""A start of an epoch below this is not felt."""


class _Load(NamedTuple):
    """The sampler's part of a setting's time.

    Attributes:
        share: of the steady state; 0 if the sampler is not what main waits for.
        batch_s: its seconds for a batch.
        saved_s: seconds of a batch that are saved if workers do its work, on all cores.
        start_s: seconds before each epoch, beyond those for a batch.
    """

    share: float
    batch_s: float
    saved_s: float
    start_s: float


def find(context: Context) -> list[Finding]:
    """Returns one finding: about the subject, else about the setting that suffers most."""
    loads = [(setting, load) for setting in context.settings if (load := _load(context, setting)) is not None]
    found = own_or_worst(context, loads, lambda load: (load.share, load.start_s))
    return [] if found is None else [_about(context, *found)]


def limits(context: Context, setting: SettingResult) -> bool:
    """Whether the sampler is what main waits for in the steady state of a setting."""
    load = _load(context, setting)
    return load is not None and load.share > 0


def _load(context: Context, setting: SettingResult) -> _Load | None:
    """Returns the sampler's part, if it is notable in most trials of a setting."""
    trials = [trial for trial in context.trials_of(setting) if trial.sampler is not None]
    if not trials or 2 * len(trials) <= len(context.trials_of(setting)):
        return None
    steady = [load for trial in trials if (load := _steady_load(context, setting, trial)) is not None]
    start_s = mean([trial.sampler.epoch_start_s for trial in trials if trial.sampler is not None])
    is_limit = 2 * len(steady) > len(trials)
    if start_s < MIN_START_S or _start_gain_s(context, setting, start_s) < NOTABLE_SHARE * (training_seconds(context, setting) or 0.0):
        start_s = 0.0
    if not is_limit and not start_s:
        return None
    share, batch_s, saved_s = (mean([load[column] for load in steady]) if is_limit else 0.0 for column in range(3))
    return _Load(share, batch_s, saved_s, start_s)


def _steady_load(context: Context, setting: SettingResult, trial: TrialResult) -> tuple[float, float, float] | None:
    """Returns share, seconds and saved seconds for a batch if the sampler is the limit of a trial's steady state."""
    sampler, costs, batch_s = trial.sampler, trial.batch_costs, batch_seconds_of(trial)
    if sampler is None or costs is None or sampler.share is None or sampler.batch_s is None or not batch_s:
        return None
    if sampler.share < MIN_SHARE or sampler.share < MIN_SHARE_OF_WAIT * (trial.wait_share or 0.0):
        return None
    made_s = costs.fetch_s + (costs.serialise_s or 0.0)
    workers = setting.config.num_workers
    if workers and made_s / worker_cores(context, setting) >= BUSY_WORKERS * batch_s:
        return None
    left_s = batch_s - sampler.batch_s - (0.0 if workers else costs.fetch_s)
    after_s = max(left_s, (made_s + sampler.batch_s) / cores_of(context))
    return sampler.share, sampler.batch_s, max(0.0, batch_s - after_s)


def _start_gain_s(context: Context, setting: SettingResult, start_s: float) -> float:
    trials = context.trials_of(setting)
    return start_s * mean([context.training.epochs_of(trial) if context.recorded is None else len(trial.epochs) for trial in trials])


def _about(context: Context, setting: SettingResult, load: _Load) -> Finding:
    trials = [trial for trial in context.trials_of(setting) if trial.sampler is not None]
    sampler = trials[0].sampler
    assert sampler is not None
    name = sampler.class_name or "the sampler"
    who = f"{name} ({sampler.place})" if sampler.place else name
    parts = []
    gain_s = None
    if load.share:
        gain_s = gain_per_batch(context, setting, load.saved_s)
        parts.append(f"needs {duration_text(load.batch_s)} for the indices of each batch, {share_text(load.share)} of the time")
    if load.start_s:
        start_gain_s = _start_gain_s(context, setting, load.start_s)
        gain_s = Estimate(start_gain_s + (gain_s.value if gain_s is not None else 0.0))
        parts.append(f"works {duration_text(load.start_s)} before the first batch of each epoch")
    return Finding(
        code=CODE,
        severity=severity_of(context, setting, gain_s, load.share),
        trials=[trial.id for trial in trials],
        message=(
            f"With {context.name_of(setting.config)} the main process waits for its sampler, which runs in the main process itself: "
            f"{who} {' and '.join(parts)}. More workers, or a cheaper dataset, cannot help."
        ),
        evidence={
            "sampler": sampler.class_name,
            "place": sampler.place,
            "sampler_share": round(load.share, 4),
            "sampler_batch_s": load.batch_s,
            "epoch_start_s": load.start_s,
            "wait_share": setting.wait_share,
            "least_share": MIN_SHARE,
        },
        advice=_advice(name, load),
        gain_s=gain_s if gain_s is not None and gain_s.value > 0 else None,
        places=places_of([(trial, trial.sampler.spans) for trial in trials if trial.sampler is not None]),
        change=_change(name, load, cores_of(context)),
    )


def _advice(name: str, load: _Load) -> str:
    if load.share:
        return (
            f"Let {name} give plain indices only, and do the rest of its work in the dataset (__getitems__) or in collate_fn, which run in "
            "the workers; or prepare all batches once, before the training."
        )
    return f"Let {name} do this work once, in its __init__, or draw indices in small portions while the epoch runs."


def _change(name: str, load: _Load, cores: int) -> str:
    if load.share:
        return (
            f"def collate_fn(indices):  # runs in the workers\n    return make_batch(indices)  # what {name}.__iter__ does now\n\n"
            f"loader = DataLoader(range(len(dataset)), batch_size=..., collate_fn=collate_fn, num_workers={cores})"
        )
    if name == "WeightedRandomSampler":
        return _WEIGHTED
    return f"class {name}(Sampler):\n    def __init__(self, ...):\n        self.order = ...  # the slow part, once\n"


_WEIGHTED = """class InPortions(Sampler):  # draws like WeightedRandomSampler with replacement
    def __init__(self, weights, num_samples):
        self.edges, self.num_samples = torch.cumsum(torch.as_tensor(weights, dtype=torch.double), 0), num_samples
    def __len__(self):
        return self.num_samples
    def __iter__(self):
        for first in range(0, self.num_samples, 4096):
            draws = torch.rand(min(4096, self.num_samples - first), dtype=torch.double) * self.edges[-1]
            yield from torch.searchsorted(self.edges, draws, right=True).clamp_(max=len(self.edges) - 1).tolist()"""
"""Its own `__iter__` draws all indices of the epoch at once."""
