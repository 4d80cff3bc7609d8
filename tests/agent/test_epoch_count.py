"""How many epochs a trial runs if the user leaves that open."""

import dataclasses

import pytest

from loaderscope.agent import epoch_count
from loaderscope.agent.messages import TrialConfig, TrialOrder

ENOUGH = 24


@dataclasses.dataclass
class Epoch:
    batches: int


def run(epoch_s: float, batches: int = 100, is_whole: bool = True, **order: int | None) -> int:
    """The number of epochs that a trial runs whose epochs take this long."""
    now = [0.0]
    finished: list[Epoch] = []
    asked = TrialOrder(0, "", TrialConfig(4), **{"epochs": None, "enough_batches": ENOUGH, **order})
    are_whole: list[bool] = []
    for number in epoch_count.epoch_numbers(asked, finished, are_whole, lambda: now[0]):
        assert number == len(finished)
        finished.append(Epoch(batches))
        are_whole.append(is_whole)
        now[0] += epoch_s
    return len(finished)


@pytest.mark.parametrize("epochs", [1, 3])
def test_as_many_as_the_user_asks_for_whatever_they_take(epochs):
    assert run(0.1, 5, epochs=epochs) == run(100.0, 5, epochs=epochs) == epochs


def test_a_second_follows_a_short_first_one_alone():
    assert run(4.9) == 2
    assert run(5.1) == 1


def test_epochs_with_too_few_batches_are_repeated_until_they_show_an_interval():
    assert run(0.1, ENOUGH - 1) == epoch_count.EPOCHS_FOR_INTERVAL
    assert run(0.1, ENOUGH) == 2
    assert run(0.1, ENOUGH - 1, enough_batches=None) == 2


def test_of_slow_epochs_with_too_few_batches_only_those_for_a_rate_are_run():
    assert run(4.0, 10) == epoch_count.EPOCHS_FOR_RATE
    assert run(epoch_count.LONGEST_FOR_RATE_S / 3.1, 10) == epoch_count.EPOCHS_FOR_RATE
    assert run(epoch_count.LONGEST_FOR_RATE_S / 2.9, 10) == 1


def test_epochs_without_a_batch_are_not_repeated_for_a_rate():
    assert run(0.1, 0) == 2


def test_epochs_that_the_users_limit_cuts_are_not_repeated_for_a_rate():
    assert run(0.1, 5, is_whole=False) == 2
