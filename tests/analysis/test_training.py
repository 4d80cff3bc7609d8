"""The length of a training, and what first and later epochs add to it."""

import pytest
from rows import config_of, made_up, measure, measure_trace
from synthetic import MS, make_trace

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.recommend import recommend
from loaderscope.analysis.training import COMPARED_BATCHES, LONGEST_EPOCH_S, Training, train_seconds, training_of
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.request import Request
from loaderscope.facts.results import EpochTimes


def epochs_of(*seconds, batches=312):
    return [EpochTimes(1.0, one - 1.0, 0.0, batches, epoch_s=one) for one in seconds]


def length_of(trials, current=None, **request):
    return training_of(Request("/x/train.py", **request), trials, current)


def test_the_first_epoch_counts_once_and_the_later_ones_for_all_others():
    trial = made_up(0, config_of(0), 1000, epochs=epochs_of(100.0, 2.0, 4.0))
    assert train_seconds(trial, Training(10)) == pytest.approx(100 + 9 * 3)
    assert train_seconds(trial, Training(1)) == pytest.approx(100)


def test_a_setting_that_keeps_what_it_read_wins_although_its_first_epoch_is_slower():
    cached = made_up(0, config_of(0), 500, epochs=epochs_of(2.0, 0.1))
    lost = made_up(1, config_of(2), 900, epochs=epochs_of(1.1, 1.1))
    training = length_of([cached, lost])
    assert recommend(combine([cached, lost], training), [cached, lost], None, 4, 0, training).config == config_of(0)


def test_each_epoch_is_projected_at_its_own_pace():
    """The first epoch waits 20 ms for each batch, the second 5 ms; both are cut after 100 of 1,000 batches."""
    row = measure(100, num_workers=0, epochs=2, length=32_000, collate_ns=0, other_ns=0, step_ns=None, fetch_ns=_slow_in_the_first_epoch())
    first, later = (times.epoch_s for times in row.epochs)
    assert first == pytest.approx(20.0, rel=0.05)
    assert later == pytest.approx(5.0, rel=0.05)
    assert row.epoch_s.value == pytest.approx((first + later) / 2)
    assert row.epoch_s.relative_half_width < 0.05
    assert train_seconds(row, Training(10)) == pytest.approx(first + 9 * later)


def _slow_in_the_first_epoch():
    counted = iter(range(10_000))
    return lambda batch: 20 * MS if next(counted) < 100 else 5 * MS


@pytest.mark.parametrize(("batches", "seconds"), [(100, 1 + 99 * 0.032), (312, 20.0), (3120, 20.0 + 9 * 10.0)])
def test_a_training_of_batches_reads_part_of_an_epoch_or_several(batches, seconds):
    trial = made_up(0, config_of(2), 1000, epoch_batches=312, epochs=epochs_of(20.0, 10.0))
    assert train_seconds(trial, Training(batches=batches)) == pytest.approx(seconds)


def test_a_training_of_batches_needs_no_length_of_an_epoch():
    trial = measure(100, num_workers=0)
    assert trial.epoch_s is None
    assert train_seconds(trial, Training(batches=5000)) == pytest.approx(5000 * trial.batch_s.value, rel=0.02)
    assert train_seconds(trial, Training(10)) is None


def test_settings_of_other_batch_sizes_read_as_many_samples():
    trials = [made_up(number, config_of(0, batch_size=size), 1000) for number, size in enumerate((32, 64))]
    training = length_of(trials, config_of(0, batch_size=64), train_batches=100)
    assert [training.batches_of(trial.config) for trial in trials] == [200, 100]
    assert "of 64" in training.text
    assert "of" not in length_of(trials[:1], train_batches=100).text


def test_the_batches_that_the_user_asks_for_are_in_force():
    assert length_of([made_up(0, config_of(0), 1000)], train_batches=77) == Training(batches=77)
    assert length_of([made_up(0, config_of(0), 1000)], train_epochs=7) == Training(epochs=7)


def test_epochs_of_an_absurd_length_are_compared_by_batches_and_that_is_said():
    short, long = (
        made_up(number, config_of(number), 1000, epoch_s=Estimate(LONGEST_EPOCH_S * share)) for number, share in ((0, 0.9), (1, 1.1))
    )
    assert length_of([short, long]) == Training(epochs=10)
    training = length_of([long])
    assert (training.epochs, training.batches) == (None, COMPARED_BATCHES)
    assert training.text in training.reason
    assert training.reason in recommend(combine([long], training), [long], None, 4, 0, training).why


def caveat_of(*trials):
    training = length_of(trials)
    return recommend(combine(trials, training), trials, None, 4, 0, training).caveat


def test_what_later_epochs_may_change_is_said_where_one_was_measured():
    one, two = made_up(0, config_of(0), 1000, epochs=epochs_of(10.0)), made_up(1, config_of(1), 1000, epochs=epochs_of(10.0, 9.0))
    assert "one epoch" in caveat_of(one)
    assert "some settings" in caveat_of(one, two)
    assert caveat_of(two) is None


def test_a_single_epoch_has_no_later_ones():
    training = Training(1)
    trials = [made_up(0, config_of(0), 1000)]
    assert recommend(combine(trials, training), trials, None, 4, 0, training).caveat is None


def test_whole_epochs_of_few_batches_give_a_rate_and_say_so():
    scenario = {"num_workers": 4, "batches": 10, "startup_ns": 400 * MS, "fetch_ns": 40 * MS, "step_ns": None}
    row = measure_trace(make_trace(epochs=7, **scenario), config_of(4), 10, 7, length=320, whole=True)
    epoch_s = [times.epoch_s for times in row.epochs[1:]]
    assert row.samples_per_second.value == pytest.approx(320 / (sum(epoch_s) / 6), rel=0.01)
    assert row.samples_per_second.ci95 is not None
    assert row.samples_per_second_reason is None
    assert any("whole epochs" in note for note in row.notes)
    few = measure_trace(make_trace(epochs=1, **scenario), config_of(4), 10, 1, length=320, whole=True)
    assert few.samples_per_second is None
    assert "--epochs 7" in few.samples_per_second_reason
    assert "batches an epoch are enough" not in few.samples_per_second_reason
    assert row.epoch_batches == few.epoch_batches == 10


@pytest.mark.parametrize("batches", [10, 12])
def test_no_more_batches_are_asked_for_than_the_script_gives(batches):
    trace = make_trace(num_workers=4, batches=batches, startup_ns=400 * MS, fetch_ns=40 * MS, step_ns=None)
    row = measure_trace(trace, config_of(4), batches, 1, length=320, whole=True, gave_all=True)
    assert row.gave_all
    assert row.samples_per_second is None
    assert "enough" not in row.samples_per_second_reason


def test_epochs_that_a_limit_cut_give_no_rate_over_whole_epochs():
    row = measure_trace(make_trace(num_workers=4, batches=10, epochs=7), config_of(4), 10, 7, length=32_000)
    assert row.samples_per_second is None
    assert row.samples_per_second_reason.endswith("40 batches an epoch are enough.")


@pytest.mark.parametrize(
    ("length", "advice"),
    [(10, "--batches all --epochs 7"), (24, "--batches all --epochs 3"), (30, "--batches all --epochs 2"), (40, "40 batches an epoch")],
)
def test_the_reason_asks_for_no_more_batches_than_an_epoch_has(length, advice):
    cut = measure(8, num_workers=4, length=32 * length)
    assert cut.samples_per_second is None
    assert advice in cut.samples_per_second_reason
    epochs = int(advice[-1]) if "--epochs" in advice else 1
    assert measure(length, num_workers=4, length=32 * length, epochs=epochs).samples_per_second.ci95 is not None
