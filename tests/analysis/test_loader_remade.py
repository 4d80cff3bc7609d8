"""A loader that is iterated anew for each batch: by the epochs of a training, or by what the source of a loop shows."""

import dataclasses

import pytest
from rows import config_of, made_up

from loaderscope.agent.messages import Consumer
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, RecordedLoader, find_all
from loaderscope.analysis.training import Training
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.evidence import LaneSpan, Signs
from loaderscope.facts.recorded_use import LoaderUse
from loaderscope.facts.results import EpochTimes
from loaderscope.facts.startup_results import Startup

SIGNS = Signs(fetch_s=0.03, collate_s=0.002)


def training_row(batches_of_each, first_batch_s=0.2, **fields):
    """A loader whose epochs gave so many batches each."""
    epochs = [EpochTimes(first_batch_s, None, None, batches) for batches in batches_of_each]
    signs = fields.pop("signs", SIGNS)
    row = made_up(0, config_of(2), 100.0, first_batch_s=first_batch_s, signs=signs, **fields)
    return dataclasses.replace(row, epochs=epochs, iterators=[LaneSpan("main", 1.0, 0.1)], startup=Startup(None, None, []))


def use(length=313, training_s=40.0):
    return LoaderUse("/a/train.py:5", "/a/train.py:9", "DataLoader", "Data", length, 11, 30.0, training_s, 0)


def find(row, recorded=None, **context):
    training = Training(10)
    loader = RecordedLoader(recorded) if recorded is not None else None
    row = dataclasses.replace(row, loader=recorded)
    settings = combine([row], training)
    return {one.code: one for one in find_all(Context([row], settings, None, row.config, recorded=loader, training=training, **context))}


def test_iterators_that_gave_one_batch_each_are_told_with_what_a_kept_one_saves():
    found = find(training_row([1] * 100), use(), consumer=Consumer("script"), usable_cpus=2)
    finding = found["loader-remade"]
    assert (finding.severity, finding.evidence["iterators"], finding.evidence["length"]) == ("warning", 100, 313)
    assert finding.gain_s.value == pytest.approx(100 * (0.2 - 0.016))
    assert "/a/train.py:9" in finding.message
    assert finding.change.startswith("batches = iter(loader)")
    assert finding.places[0].start_s == 1.0
    assert "loader-remade" in found["input-bound"].advice


@pytest.mark.parametrize(
    ("batches", "length"), [([313] * 10, 313), ([1] * 3, 313), ([1] * 100, 1), ([1] * 100, 2), ([50] * 100, 313), ([1] * 100, None)]
)
def test_epochs_that_are_used_or_few_or_short_are_no_finding(batches, length):
    assert "loader-remade" not in find(training_row(batches), use(length), consumer=None)


def test_iterators_that_cost_little_are_no_finding():
    assert "loader-remade" not in find(training_row([1] * 100, first_batch_s=0.02), use(), consumer=None)
    rare = find(training_row([1] * 10), use(training_s=1000.0), consumer=None)["loader-remade"]
    assert rare.severity == "info"


def test_trials_in_the_training_tell_it_by_the_loaders_own_length():
    epochs = [EpochTimes(0.2, None, 0.0, 1, 0.25)] * 7
    row = dataclasses.replace(training_row([1]), epochs=epochs, loader_batches=313, epoch_batches=1, epoch_s=Estimate(0.25))
    finding = find(row, consumer=Consumer("training"), usable_cpus=2)["loader-remade"]
    assert finding.gain_s is not None and finding.evidence["length"] == 313
    assert "loader-remade" not in find(dataclasses.replace(row, loader_batches=1), consumer=Consumer("training"))


def test_persistent_workers_are_no_remedy_of_a_remade_loader():
    slow = training_row([1] * 20, first_batch_s=3.0)
    assert "start-up-every-epoch" not in find(slow, use(training_s=80.0), consumer=None)


def test_a_loop_in_the_source_is_told_with_what_the_sweep_has_measured():
    row = made_up(0, config_of(2), 2000.0, first_batch_s=0.2, batch_s=Estimate(0.016))
    row = dataclasses.replace(row, epoch_batches=1000)
    finding = find(row, consumer=None, remade_at="/a/train.py:9")["loader-remade"]
    assert (finding.severity, finding.evidence["iterated"]) == ("warning", "/a/train.py:9")
    assert finding.gain_s.value == pytest.approx(10_000 * (0.2 - 0.016))
    assert "loader-remade" not in find(row, consumer=None)
