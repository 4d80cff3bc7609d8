"""What a recorded training spent on its loaders and outside of them: a part of the results of a trial."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.ranges import Count, Name, Seconds, Share, TimeNs


@dataclasses.dataclass(frozen=True)
class EpochUse:
    """What a training spent on one epoch of a loader; the same entry of `TrialResult.epochs` has its batches.

    Attributes:
        start_s: its iter(), from the start of the recording: that of the script, unless the user set a later one.
        seconds: from its iter() until it ended, or until the script turned to another loader and never came back.
        wait_s: for which main made its iterator and waited for its batches; None as for `LoaderUse.wait_s`.
        exposed_s: the part of `wait_s` in which no device is known to have worked.
        until_next_s: from its last step's end to the loader's next iter(), or to the end of the training.
    """

    start_s: float
    seconds: Seconds
    wait_s: Seconds | None
    exposed_s: Seconds | None
    until_next_s: Seconds


@dataclasses.dataclass(frozen=True)
class TrainingGap:
    """Time of a training outside its loaders, such as a checkpoint: between two of them, or in a step far longer than most.

    Attributes:
        start_s: from the start of the recording.
        line: where main stood longest meanwhile, as "train.py:87 in save" with the path of the file; None if unknown.
        before: name of the loader whose epoch ended there; None: the script had begun.
        after: name of the loader whose epoch began then; None: the script ended.
        in_step_of: name of the loader in whose step it lies; None between loaders.
    """

    start_s: Seconds
    seconds: Seconds
    line: str | None
    before: str | None
    after: str | None
    in_step_of: str | None


@dataclasses.dataclass(frozen=True)
class ProcessUse:
    """What a process of a recorded training spent on all its loaders together: time in which several are busy counts once.

    Attributes:
        began_ns: start of the script, on the clock of the traces.
        wait_s: for which main made iterators and waited for batches.
        exposed_s: the part of `wait_s` in which no device is known to have worked.
        first_batch_s: from the start of the script to the first batch; None without a batch.
        bin_s: width of the bins of `exposed_shares`.
        exposed_shares: the exposed share of each such part of the recording, from its start; the last part may be shorter.
        gaps: the longest, in the order of time.
    """

    began_ns: TimeNs
    wait_s: Seconds
    exposed_s: Seconds
    first_batch_s: Seconds | None
    bin_s: Seconds
    exposed_shares: list[Share]
    gaps: list[TrainingGap] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class LoaderUse:
    """A loader of a recorded training, and what the training spent on it.

    Attributes:
        made: where the script makes it, as "file:line"; None if unknown.
        iterated: where the script iterates it first.
        class_name: of the loader.
        dataset: class of its dataset.
        length: batches of an epoch, as far as the loader tells.
        pid: the process that iterates it.
        wait_s: seconds that this process made its iterators and waited for its batches; None if another thread than the main one iterates
            it, because the training may go on meanwhile.
        training_s: seconds of the whole training, from the start of the script to its end.
        exit_status: of the script; negative: the signal that ended it; None: the script went on when its recording ended.
        exposed_s: the part of `wait_s` in which no device is known to have worked; None in sessions that lack it.
        optimizer_steps: in its epochs; None if none was recorded.
        epochs: one entry for each of `TrialResult.epochs`.
        process: of all loaders of the process, in the entry of the first of them; None in the others.
        recorded_s: seconds of the training that were recorded, where the recording had bounds; None: all of it.
        number_at_line: among the loaders that the same line made in that process, from 0.
    """

    made: str | None
    iterated: str | None
    class_name: Name
    dataset: Name
    length: Count | None
    pid: Count
    wait_s: Seconds | None
    training_s: Seconds
    exit_status: int | None
    exposed_s: Seconds | None = None
    optimizer_steps: Count | None = None
    epochs: list[EpochUse] = dataclasses.field(default_factory=list)
    process: ProcessUse | None = None
    recorded_s: Seconds | None = None
    number_at_line: Count = 0

    @property
    def name(self) -> str:
        """The loader as the timeline and tables name it: train.py:87."""
        return loader_name(self.made, self.iterated, self.class_name, self.number_at_line)

    @property
    def measured_s(self) -> float:
        """The seconds of the training that its figures are about."""
        return self.training_s if self.recorded_s is None else self.recorded_s


def loader_name(made: str | None, iterated: str | None, class_name: str, number_at_line: int) -> str:
    """Returns the name of a loader by where it is made, else where it is iterated, else its class: train.py:87, or train.py:87 #2."""
    name = (made or iterated or class_name).replace("\\", "/").rpartition("/")[2]
    return f"{name} #{number_at_line + 1}" if number_at_line else name
