"""The user's training: how long it is, and the seconds that a setting would need for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.intervals import mean
from loaderscope.facts.request import Request
from loaderscope.facts.results import EpochTimes, TrialResult
from loaderscope.facts.text import count_text, duration_text

LONGEST_EPOCH_S = 4 * 3600.0
"""Nobody waits for several epochs that take longer: such a training counts batches."""

COMPARED_BATCHES = 1000
"""By so many batches settings are compared if nothing says how many a training has."""


@dataclasses.dataclass(frozen=True)
class Training:
    """The length of a training.

    Attributes:
        epochs: None if the training counts batches.
        batches: None if it counts epochs.
        batch_size: samples of such a batch; a setting with another batch size reads as many samples. None if all have the same size.
        reason: why batches count although the user asked for epochs, in one sentence; else empty.
    """

    epochs: int | None = None
    batches: int | None = None
    batch_size: int | None = None
    reason: str = ""

    @property
    def text(self) -> str:
        """The length in words: 10 epochs, 1 000 batches, 1 000 batches of 32."""
        if self.batches is None:
            return count_text(self.epochs or 0, "epoch")
        return count_text(self.batches, "batch") + (f" of {self.batch_size}" if self.batch_size is not None else "")

    def batches_of(self, config: TrialConfig) -> float | None:
        """Returns the batches that a setting reads in this training; None if the training counts epochs."""
        if self.batches is None or self.batch_size is None or not config.batch_size:
            return self.batches
        return self.batches * self.batch_size / config.batch_size

    def epochs_of(self, trial: TrialResult) -> float:
        """Returns the epochs that a trial's setting reads, at least 1; an epoch of unknown length has no end."""
        if self.epochs is not None:
            return self.epochs
        batches = self.batches_of(trial.config)
        return max(1.0, batches / trial.epoch_batches) if batches is not None and trial.epoch_batches else 1.0


def training_of(request: Request, trials: Sequence[TrialResult], current: TrialConfig | None = None) -> Training:
    """Returns the training by which a run's settings are compared.

    It is the one that the user asked for, unless that has a length in epochs and an epoch has an unknown or an absurd length.

    Args:
        request: of the run.
        trials: of the run.
        current: the user's own setting; batches are counted in its size if settings differ in that.
    """
    good = [trial for trial in trials if trial.status == "ok"]
    sizes = [trial.config.batch_size for trial in good if trial.config.batch_size]
    own_size = current.batch_size if current is not None else None
    size = (own_size or sizes[0]) if len(set(sizes)) > 1 else None
    if request.train_batches is not None:
        return Training(batches=request.train_batches, batch_size=size)
    epoch_s = min((trial.epoch_s.value for trial in good if trial.epoch_s is not None), default=0.0)
    by_batches = Training(batches=COMPARED_BATCHES, batch_size=size)
    if epoch_s > LONGEST_EPOCH_S:
        text = f"Settings are compared by {by_batches.text}, as an epoch takes {duration_text(epoch_s)} at least."
        return dataclasses.replace(by_batches, reason=text)
    if any(trial.epoch_s is None and batch_seconds_of(trial) is not None for trial in good):
        text = f"Settings are compared by {by_batches.text}, as it is not known how many an epoch has."
        return dataclasses.replace(by_batches, reason=text)
    return Training(epochs=request.train_epochs)


def train_seconds(trial: TrialResult, training: Training) -> float | None:
    """Returns the projected seconds of a training with this trial's setting, or None if the trial does not show them.

    The first epoch costs what it cost in the trial. Later epochs cost the mean of the trial's later ones. If the trial measured only
    one epoch, a later one costs the same without the start of the forkserver, which happens once; with persistent workers its start
    costs only the time from the first fetch on.
    """
    finished = [
        times for times in trial.epochs if times.first_batch_s is not None and (times.end_s is not None or times.epoch_s is not None)
    ]
    if trial.status != "ok" or not finished:
        return None
    batches = training.batches_of(trial.config)
    if batches is not None and (not trial.epoch_batches or batches < trial.epoch_batches):
        return _seconds_within_epoch(trial, finished[0], batches)
    epochs_s = _first_and_later_epoch_s(trial, finished)
    return None if epochs_s is None else epochs_s[0] + (training.epochs_of(trial) - 1) * epochs_s[1]


def batch_seconds_of(trial: TrialResult) -> float | None:
    """Returns the seconds from batch to batch in steady state; None if unknown."""
    if trial.batch_s is not None:
        return trial.batch_s.value
    if trial.samples_per_second is None or not trial.samples or not trial.batches:
        return None
    return trial.samples / trial.batches / trial.samples_per_second.value


def _seconds_within_epoch(trial: TrialResult, first_epoch: EpochTimes, batches: float) -> float | None:
    """Returns the seconds of a training that is over before its first epoch is."""
    batch_s = batch_seconds_of(trial)
    if batch_s is None:
        return None
    return (first_epoch.first_batch_s or 0.0) + max(0.0, batches - 1) * batch_s + (first_epoch.end_s or 0.0)


def _first_and_later_epoch_s(trial: TrialResult, finished: Sequence[EpochTimes]) -> tuple[float, float] | None:
    """Returns the seconds of the first epoch and of a later one, each over the full dataset."""
    first_batch_s = finished[0].first_batch_s or 0.0
    projected = [times.epoch_s for times in finished if times.epoch_s is not None]
    if len(projected) < len(finished):  # a session that does not have them
        if trial.epoch_s is None:
            return None
        steady_s = max(0.0, trial.epoch_s.value - mean([(times.first_batch_s or 0.0) + (times.end_s or 0.0) for times in finished]))
        end_s = mean([times.end_s or 0.0 for times in finished])
        projected = [(times.first_batch_s or 0.0) + steady_s + end_s for times in finished]
    later_s = mean(projected[1:]) if len(projected) > 1 else projected[0] - first_batch_s + _later_first_batch_s(trial, first_batch_s)
    return projected[0], later_s


def _later_first_batch_s(trial: TrialResult, first_batch_s: float) -> float:
    """Returns the seconds to the first batch of a later epoch, if the trial measured only the first."""
    if not trial.config.num_workers or trial.startup is None:
        return first_batch_s
    phases = [phase for phase in trial.startup.phases if phase.epoch == 0]
    if not (trial.config.persistent_workers or trial.keeps_workers):
        return max(0.0, first_batch_s - sum(phase.seconds for phase in phases if phase.phase == "server_start"))
    fetches = [phase.start_s for phase in phases if phase.phase == "first_fetch"]
    return max(0.0, first_batch_s - min(fetches)) if fetches else first_batch_s
