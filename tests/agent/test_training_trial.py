"""How a trial ends whose batches the script's own loop takes."""

import pytest

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

    def fail(self, did_script_end=False):
        raise OSError("the disk is full")

    monkeypatch.setattr(TrainingTrial, "_answer", fail)
    monkeypatch.setattr(TrainingTrial, "_batch_count", lambda self: 3)
    trial = TrainingTrial(TrialOrder(0, str(tmp_path), TrialConfig(0), consumer=Consumer("training")), finish)
    with pytest.raises(Ended):
        end(trial)
    (answer,) = answers
    assert answer["type"] == "failed"
    assert "the disk is full" in answer["error"]["message"]
