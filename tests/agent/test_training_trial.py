"""How a trial ends whose batches the script's own loop takes."""

import os

import pytest

from loaderscope.agent import optimizer_marks, recorder
from loaderscope.agent.messages import Consumer, TrialConfig, TrialOrder
from loaderscope.agent.training_trial import TrainingTrial


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    "end", [TrainingTrial._end_inside, lambda trial: trial.end_after_script(None)], ids=["in next", "after the script"]
)
def test_a_fault_at_the_end_of_a_trial_is_told_and_does_not_hang(tmp_path, monkeypatch, end):
    answers = []

    def finish(answer):
        answers.append(answer)
        raise Ended

    def fail(self, **_how):
        raise OSError("the disk is full")

    monkeypatch.setattr(TrainingTrial, "_answer", fail)
    monkeypatch.setattr(TrainingTrial, "_batch_count", lambda self: 3)
    trial = TrainingTrial(TrialOrder(0, str(tmp_path), TrialConfig(0), consumer=Consumer("training")), finish)
    with pytest.raises(Ended):
        end(trial)
    (answer,) = answers
    assert answer["type"] == "failed"
    assert "the disk is full" in answer["error"]["message"]


class Recording:
    """Stands for the recording of the trial's loader."""

    def __init__(self, is_open):
        self.is_open, self.is_abandoned, self.batch_count = is_open, False, 2


@pytest.fixture
def left(tmp_path, monkeypatch):
    """A trial of 4 batches whose script has ended an epoch of 2, and does something else now; gives it and its answers."""
    answers = []

    def finish(answer):
        answers.append(answer)
        raise Ended

    monkeypatch.setattr(TrainingTrial, "_answer", lambda self, **how: {"notes": list(self._notes), **how})
    trial = TrainingTrial(TrialOrder(0, str(tmp_path), TrialConfig(0), batches=4, epochs=3, consumer=Consumer("training")), finish)
    trial._recording, trial._cpu_time, trial._pid = Recording(is_open=False), object(), os.getpid()
    trial.note_epoch(2)
    yield trial, answers
    optimizer_marks.set_step_callback(None)


def test_a_training_that_goes_on_without_its_loader_ends_at_a_step_of_its_optimizer(left):
    trial, answers = left
    for _ in range(4):
        trial._note_step()
    assert not answers
    with pytest.raises(Ended):
        trial._note_step()
    (answer,) = answers
    assert answer["gave_all"]
    assert "2 batches" in answer["notes"][-1]


def test_a_training_that_goes_on_with_another_loader_ends_at_one_of_its_batches(left):
    trial, answers = left
    for _ in range(4):
        trial._note_batch_of_other()
    assert not answers
    with pytest.raises(Ended):
        trial._note_batch_of_other()
    assert answers[0]["gave_all"]


def test_loaders_in_a_datasets_own_code_end_no_trial(left, monkeypatch):
    trial, answers = left
    monkeypatch.setattr(recorder.threads.activity, "in_users_code", True)
    for _ in range(100):
        trial._note_batch_of_other()
    assert not answers


def test_a_child_of_the_script_never_ends_the_trial(left):
    trial, answers = left
    trial._pid += 1
    for _ in range(100):
        trial._note_step()
    assert not answers


def test_a_loader_that_gave_nothing_before_the_script_left_it_fails_the_trial(left):
    trial, answers = left
    trial._epochs.clear()
    with pytest.raises(Ended):
        for _ in range(5):
            trial._note_step()
    assert answers[0]["type"] == "failed"
