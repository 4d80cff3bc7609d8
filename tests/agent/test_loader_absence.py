"""How long a trial of the training waits for a script that takes no more batches of its loader."""

import pytest

from loaderscope.agent.epoch_count import LONGEST_ABSENCE_S
from loaderscope.agent.loader_absence import LONGEST_ABSENCE_SHARE, LoaderAbsence

LIMIT = 20


class Clock:
    """A clock that a test sets."""

    now_s = 100.0

    def __call__(self):
        return self.now_s


class Loader:
    """Stands for a loader of known length."""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def absence(clock, monkeypatch):
    monkeypatch.setattr("loaderscope.agent.loaders.full_batches_of", lambda loader: loader.batches)
    return LoaderAbsence(LIMIT, clock)


def loader_of(batches):
    loader = Loader()
    loader.batches = batches
    return loader


def take_from_others(absence, batches):
    for _ in range(batches):
        absence.note_batch_of_other()


def test_more_steps_than_batches_are_not_waited_for(absence):
    absence.note_epoch(10)
    absence.steps = LIMIT
    assert absence.longest_wait(is_over=True) is None
    absence.steps += 1
    assert str(LIMIT + 1) in absence.longest_wait(is_over=True)


def test_an_epoch_may_be_followed_by_as_many_steps_as_it_had_batches(absence):
    absence.note_epoch(50)
    absence.steps = 50
    assert absence.longest_wait(is_over=True) is None


def test_a_script_that_keeps_its_iterator_may_do_many_steps_with_a_batch(absence, clock):
    absence.begin()
    absence.steps = 100 * LIMIT
    assert absence.longest_wait(is_over=False) is None
    clock.now_s += LONGEST_ABSENCE_S + 1
    assert absence.longest_wait(is_over=False) is not None


def test_a_batch_of_the_loader_begins_the_count_anew(absence):
    for _ in range(100):
        take_from_others(absence, LIMIT)
        absence.steps = LIMIT
        assert absence.longest_wait(is_over=False) is None
        absence.begin()


def test_evaluations_are_waited_through_and_a_second_pass_over_them_is_not(absence, clock):
    validation, test = loader_of(300), loader_of(200)
    absence.note_epoch(10)
    for loader in (validation, test):
        absence.note_other(loader, evaluates=True)
        for _ in range(loader.batches):
            clock.now_s += LONGEST_ABSENCE_S / 2
            absence.note_batch_of_other()
            assert absence.longest_wait(is_over=True) is None
    absence.note_other(validation, evaluates=True)
    absence.note_batch_of_other()
    assert "501" in absence.longest_wait(is_over=True)


def test_loaders_that_are_trained_with_one_after_another_are_not_waited_for(absence):
    absence.note_epoch(10)
    stages = [loader_of(15) for _ in range(5)]
    for stage in stages[:1]:
        absence.note_other(stage, evaluates=False)
        take_from_others(absence, 15)
        assert absence.longest_wait(is_over=True) is None
    absence.note_other(stages[1], evaluates=False)
    take_from_others(absence, 6)
    assert absence.longest_wait(is_over=True) is not None


@pytest.mark.parametrize("epoch_s", [0.1, 60.0])
def test_silence_ends_the_wait_after_a_time_that_grows_with_what_the_trial_took(absence, clock, epoch_s):
    clock.now_s += epoch_s
    absence.note_epoch(10)
    longest_s = max(LONGEST_ABSENCE_S, LONGEST_ABSENCE_SHARE * epoch_s)
    clock.now_s += longest_s - 1
    assert absence.longest_wait(is_over=True) is None
    clock.now_s += 2
    assert absence.longest_wait(is_over=False) is None
    assert absence.longest_wait(is_over=True) is not None
