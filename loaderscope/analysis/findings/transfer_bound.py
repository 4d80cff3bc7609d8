"""Finds batches whose way from the workers costs more than their making: because they hold many tensors, or much that is pickled.

Each tensor of a batch becomes a shared file, which the worker makes and main opens: tens of microseconds a tensor, whatever its size.
All else travels as a pickle through a pipe.
"""

from __future__ import annotations

from typing import NamedTuple

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.per_batch import batches_of_training, gain_per_batch, own_or_worst, places_of, severity_of, worker_cores
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.training import batch_seconds_of
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding
from loaderscope.facts.measures import NOTABLE_SHARE
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import bytes_text, duration_text, mean_count_text, share_text

CODE = "transfer-bound"

MIN_SHARE = 0.20
"""Share of the time of main, or of the workers, from which on the way of the batches is a bottleneck, as for the input as a whole."""
MANY_TENSORS = 32
"""Fewer tensors in a batch are usual: their sending costs a millisecond or two."""
MANY_PICKLED_BYTES = 1 << 20
"""A message with more has arrays or objects in it: that of tensors alone holds some hundred bytes for each."""


class _Load(NamedTuple):
    """What the way of the batches takes.

    Attributes:
        unpack_share: of the time of main.
        send_share: of the time of the workers, serialising alone.
        unpack_s: seconds of a batch in main.
        saved_s: seconds of a batch that are saved if this costs nothing.
        saved_share: the same as a share of the time of a batch.
    """

    unpack_share: float
    send_share: float
    unpack_s: float
    saved_s: float
    saved_share: float


def find(context: Context) -> list[Finding]:
    """Returns one finding: about the subject, else about the setting that would gain most."""
    loads = [(setting, load) for setting in context.settings if (load := load_of(context, setting)) is not None]
    found = own_or_worst(context, loads, lambda load: load.saved_share)
    return [] if found is None else [_about(context, *found)]


def has_many_tensors(setting: SettingResult) -> bool:
    """Whether the batches of a setting hold so many tensors that each of them costs."""
    return (setting.batch_tensors or 0) >= MANY_TENSORS


def load_of(context: Context, setting: SettingResult) -> _Load | None:
    """Returns what the way of the batches takes if that is a bottleneck in most trials of a setting."""
    trials = context.trials_of(setting)
    loads = [load for trial in trials if (load := _load_of_trial(context, setting, trial)) is not None]
    if not loads or 2 * len(loads) <= len(trials):
        return None
    return _Load(*(mean(list(column)) for column in zip(*loads, strict=True)))


def _load_of_trial(context: Context, setting: SettingResult, trial: TrialResult) -> _Load | None:
    costs, batch_s = trial.batch_costs, batch_seconds_of(trial)
    if not setting.config.num_workers or setting.config.backend == "thread" or costs is None or not batch_s:
        return None
    unpack_s, serialise_s = costs.unpack_s or 0.0, costs.serialise_s or 0.0
    at_once = worker_cores(context, setting)
    main_s = max(0.0, batch_s - (costs.receive_s or 0.0))
    after_s = max(main_s - unpack_s, costs.fetch_s / at_once)
    saved_s = batch_s - after_s
    unpack_share, send_share = unpack_s / batch_s, serialise_s / at_once / batch_s
    pickled = (costs.pipe_bytes or 0.0) >= MANY_PICKLED_BYTES
    if max(unpack_share, send_share) < MIN_SHARE or saved_s < NOTABLE_SHARE * batch_s:
        return None
    if not (has_many_tensors(setting) or pickled):
        return None
    return _Load(unpack_share, send_share, unpack_s, saved_s, saved_s / batch_s)


def _about(context: Context, setting: SettingResult, load: _Load) -> Finding:
    trials = context.trials_of(setting)
    costs = [trial.batch_costs for trial in trials if trial.batch_costs is not None]
    pipe_bytes = mean([cost.pipe_bytes or 0.0 for cost in costs])
    by_number = has_many_tensors(setting)
    share, does = max((load.unpack_share, "the main process unpacks them"), (load.send_share, "the workers pack them"))
    what = f"{mean_count_text(setting.batch_tensors)} separate tensors" if by_number else f"{bytes_text(pipe_bytes)} of pickled objects"
    name = context.name_of(setting.config)
    gain_s = _gain(context, setting, load) if by_number else None
    is_own = setting is context.subject or context.recorded is not None
    severity = severity_of(context, setting, gain_s, load.saved_share if by_number else 0.0) if is_own else "info"
    reason = "It is their number that costs, not their size" if by_number else "Each byte of it is copied into a pipe and out of it"
    return Finding(
        code=CODE,
        severity=severity,
        trials=setting.trials,
        message=(
            f"With {name} each batch comes to the main process as {what}: {does} for {share_text(share)} of the time, "
            f"{duration_text(load.unpack_s)} a batch in the main process. {reason}{_size_text(setting) if by_number else ''}."
        ),
        evidence={
            "batch_tensors": setting.batch_tensors,
            "batch_bytes": setting.batch_bytes,
            "pipe_bytes": pipe_bytes,
            "unpack_share": round(load.unpack_share, 4),
            "send_share": round(load.send_share, 4),
            "unpack_s": load.unpack_s,
            "least_share": MIN_SHARE,
            "least_tensors": MANY_TENSORS,
        },
        advice=(
            "Let collate_fn put the small tensors of a batch into one, which travels at once; main can split it into views."
            if by_number
            else "Let the dataset or collate_fn return tensors: they lie in shared memory, and only a name of some bytes is sent."
        ),
        gain_s=gain_s,
        places=places_of([(trial, trial.batch_costs.unpacking) for trial in trials if trial.batch_costs is not None]),
        change=_ONE_TENSOR if by_number else "torch.from_numpy(array)  # or torch.tensor(...), in the dataset or in collate_fn",
    )


def _gain(context: Context, setting: SettingResult, load: _Load) -> Estimate | None:
    """Returns what the user's training saves: with the setting itself, or by going over to it, once its batches are cheap to send."""
    subject, batches = context.subject, batches_of_training(context, setting)
    if setting is subject or context.recorded is not None or subject is None:
        return gain_per_batch(context, setting, load.saved_s)
    if batches is None or setting.train_s is None or subject.train_s is None:
        return None
    gain_s = subject.train_s - (setting.train_s - batches * load.saved_s)
    return Estimate(gain_s) if gain_s > 0 else None


def _size_text(setting: SettingResult) -> str:
    return f": all of them hold {bytes_text(setting.batch_bytes)}" if setting.batch_bytes is not None else ""


_ONE_TENSOR = """def collate_fn(samples):  # runs in the workers
    return torch.stack([torch.stack(sample) for sample in samples])  # of unequal lengths: torch.cat, and the lengths as a tensor"""
