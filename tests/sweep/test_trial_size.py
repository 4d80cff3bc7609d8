"""How much of the data a trial reads, by default and as the user asks."""

import pytest

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.steady import batches_for_rate
from loaderscope.facts.request import DEFAULT_BATCHES, Request
from loaderscope.sweep.trial_size import batch_limit, enough_batches, expected_epochs


def config(workers: int) -> TrialConfig:
    return TrialConfig(workers, 32, prefetch_factor=2 if workers else None)


@pytest.mark.parametrize("workers", [0, 2, 8])
def test_few_workers_read_the_default_number_of_batches(workers):
    assert batch_limit(Request("a.py"), config(workers)) == DEFAULT_BATCHES


def test_many_workers_read_as_many_as_show_a_rate():
    assert batch_limit(Request("a.py"), config(64)) == batches_for_rate(config(64)) > DEFAULT_BATCHES


@pytest.mark.parametrize("batches", [7, None])
def test_a_number_of_the_users_stays(batches):
    assert batch_limit(Request("a.py", batches=batches), config(64)) == batches


def test_the_start_up_experiment_keeps_its_few_batches():
    request = Request("a.py", startup=True, batches=8)
    assert (batch_limit(request, config(4)), enough_batches(request, config(4))) == (8, None)


def test_the_forecast_counts_the_epochs_that_will_run():
    assert expected_epochs(Request("a.py", epochs=3), config(2), 100, True, 60.0) == 3
    assert expected_epochs(Request("a.py"), config(2), 100, True, 60.0) == 1
    assert expected_epochs(Request("a.py"), config(2), 100, True, 1.0) == 2
    assert expected_epochs(Request("a.py"), config(4), 10, True, 0.1) == 7
    assert expected_epochs(Request("a.py", batches=10), config(4), 10, False, 0.1) == 2
