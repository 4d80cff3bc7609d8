"""What the workers of a probe show: equal samples, equal random numbers, idle and uneven workers, state that is lost."""

import dataclasses

import pytest
from rows import config_of, made_up

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, duplicate_samples, duplicate_seeds, input_bound, set_epoch, worker_shares, worker_state
from loaderscope.analysis.training import Training
from loaderscope.facts.probed_workers import ChangedAttribute, EpochSetter, ProbedEpoch, UsedGenerator, WorkerLoad
from loaderscope.facts.results import EpochTimes

PERSISTENT = config_of(2, persistent_workers=True)


def context_of(*trials, probes=(), current=None, cpus=4):
    training = Training(10)
    return Context(list(trials), combine(trials, training), None, current, None, training, usable_cpus=cpus, probes=list(probes))


def probe(*rows, **fields):
    return made_up(9, config_of(2), 1000.0, probe=True, probed_epochs=list(rows), **fields)


def row(worker, epoch=0, *, hashed=None, distinct=None, repeated=None, generators=(), attributes=(), batches=4, samples=64, init=None):
    return ProbedEpoch(
        worker, epoch, 1.0, 2.0, batches, samples, hashed, distinct, repeated, list(generators), list(attributes), init_place=init
    )


def stream(worker, epoch=0, repeated=0, distinct=64):
    return row(worker, epoch, hashed=64, distinct=distinct, repeated=repeated)


def test_equal_samples_of_each_worker_are_duplicates():
    (finding,) = duplicate_samples.find(context_of(probes=[probe(stream(0), stream(1, repeated=64), stream(0, 1), stream(1, 1, 60))]))
    assert (finding.code, finding.severity, finding.trials) == ("duplicate-samples", "warning", [9])
    assert finding.evidence["repeated_samples"] == 124 and finding.evidence["compared_samples"] == 128
    assert [(place.lane, place.start_s, place.seconds) for place in finding.places] == [("worker-1", 1.0, 2.0)] * 2
    assert "get_worker_info" in finding.change


@pytest.mark.parametrize(
    "rows",
    [
        (stream(0), stream(1, repeated=3)),
        (stream(0, distinct=4), stream(1, repeated=4, distinct=4)),  # samples that are alike anyway
        (stream(0), stream(1, repeated=64), stream(0, 1), stream(1, 1)),  # not in each epoch
        (row(0), row(1)),  # map-style
        (stream(0), row(1, hashed=0, distinct=0, repeated=0, batches=0)),  # the other one is idle
    ],
)
def test_samples_of_which_that_is_not_sure_are_no_duplicates(rows):
    assert not duplicate_samples.find(context_of(probes=[probe(*rows)]))


def test_who_trains_without_workers_gets_no_warning_of_them():
    context = context_of(probes=[probe(stream(0), stream(1, repeated=64))], current=config_of(0))
    assert [finding.severity for finding in duplicate_samples.find(context)] == ["info"]


def generator(start, *states, name="transform.rng", kind="Generator"):
    return UsedGenerator(name, kind, "/data/train.py:8", start, list(states))


def seeds(*generators, current=None, **changes):
    """The findings where these generators are those of worker 0 and 1 in the first epoch, and then of the second."""
    rows = [row(number % 2, number // 2, generators=[one], **changes) for number, one in enumerate(generators)]
    return duplicate_seeds.find(context_of(probes=[probe(*rows)], current=current))


ALIKE = (generator("a", "b", "c", "d"),) * 4


def test_a_generator_in_the_dataset_draws_the_same_numbers_everywhere():
    (finding,) = seeds(*ALIKE)
    assert (finding.code, finding.severity) == ("duplicate-seeds", "warning")
    assert (finding.evidence["in_workers"], finding.evidence["in_epochs"]) == (True, True)
    assert finding.evidence["places"] == ["/data/train.py:8"] and "train.py:8" in finding.message
    assert "info.dataset.transform.rng = numpy.random.default_rng(info.seed)" in finding.change
    assert {place.lane for place in finding.places} == {"worker-0", "worker-1"}


@pytest.mark.parametrize(
    "generators",
    [
        (generator("a", "b", "c"), generator("e", "f", "g"), generator("h", "i", "j"), generator("k", "l", "m")),  # seeded properly
        (generator("a", "b", "b"), generator("a", "b", "b"), generator("a", "b", "b"), generator("a", "b", "b")),  # once, for shards
        (generator("a", "b", "c"), generator("a", "e", "f"), generator("a", "b", "c"), generator("a", "e", "f")),  # by index
    ],
)
def test_generators_that_do_not_repeat_are_fine(generators):
    assert not seeds(*generators)


def test_workers_seeded_by_their_number_repeat_in_each_epoch():
    first, second = (generator(*states, name="numpy.random", kind="") for states in (("a", "b", "c"), ("e", "f", "g")))
    (finding,) = seeds(first, second, first, second, init="/data/train.py:30")
    assert (finding.evidence["in_workers"], finding.evidence["in_epochs"]) == (False, True)
    assert "train.py:30" in finding.message and "numpy.random.seed(" in finding.change
    assert not seeds(first, second, first, second, current=PERSISTENT)  # such workers go on with their numbers


def test_a_stream_may_need_equal_numbers():
    assert [finding.severity for finding in seeds(*ALIKE, hashed=64, distinct=64, repeated=0)] == ["info"]


def load(worker, batches, fetch_s=0.01, fetches=None):
    return WorkerLoad(worker, fetches or [max(1, count) for count in batches], batches, [fetch_s if n else None for n in batches], 0.5, 3.0)


def shared(*loads, workers=2, **changes):
    fields = {"wait_share": 0.9, "worker_loads": list(loads), **changes}
    trial = made_up(0, config_of(workers), 1000.0, **fields)
    return worker_shares.find(context_of(trial, cpus=2))


def test_a_worker_that_gives_nothing_is_idle():
    (finding,) = shared(load(0, [50, 50]), load(1, [0, 0]))
    assert (finding.code, finding.severity, finding.change) == ("idle-workers", "warning", "num_workers=1")
    assert finding.evidence["idle_workers"] == [1]
    assert [place.lane for place in finding.places] == ["worker-1"]
    assert finding.gain_s is not None and finding.gain_s.value == pytest.approx(0.9 * 0.5 * 320, rel=0.01)


@pytest.mark.parametrize(
    "loads",
    [
        (load(0, [50, 50]), load(1, [50, 50])),
        (load(0, [3]), load(1, [0])),  # too few batches to tell
        (load(0, [50, 50]), load(1, [0, 50])),
        (load(0, [50]), load(1, [0], fetches=[0])),  # never asked: its records are missing
        (load(0, [0]), load(1, [0])),
    ],
)
def test_workers_with_a_share_are_not_idle(loads):
    assert not [finding for finding in shared(*loads) if finding.code == "idle-workers"]


def test_nobody_is_advised_to_add_workers_beside_idle_ones():
    loads = [load(0, [50]), load(1, [0])]
    trial = made_up(0, config_of(2), 1000.0, wait_share=0.9, step_share=0.1, worker_loads=loads)
    (finding,) = input_bound.find(context_of(trial))
    assert finding.code == "input-bound" and worker_shares.SPLIT_ADVICE in finding.advice


def test_workers_whose_incomplete_batches_are_dropped_are_not_idle():
    assert not shared(load(0, [10]), load(1, [0]), dropped_samples=90)


@pytest.mark.parametrize("loads", [(load(0, [50, 50], 0.05), load(1, [50, 50])), (load(0, [60, 60]), load(1, [10, 10]))])
def test_one_worker_with_much_more_work_is_an_imbalance(loads):
    (finding,) = shared(*loads)
    assert (finding.code, finding.severity) == ("worker-imbalance", "warning")
    assert finding.evidence["work_ratio"] > 1.6
    assert [place.lane for place in finding.places] == ["worker-0"]


@pytest.mark.parametrize(
    "loads",
    [
        (load(0, [50, 50], 0.013), load(1, [50, 50])),
        (load(0, [50, 10], 0.01), load(1, [10, 50])),  # now this one, now that
        (load(0, [50, 50], 0.0005), load(1, [50, 50], 0.0001)),
        (load(0, [5], 0.05), load(1, [5])),
    ],
)
def test_small_or_changing_differences_are_no_imbalance(loads):
    assert not shared(*loads)


def test_an_imbalance_for_which_nobody_waits_is_no_warning():
    (finding,) = shared(load(0, [50], 0.05), load(1, [50]), wait_share=0.01)
    assert finding.severity == "info"


def cache(start=0.0, end=64.0, changes=4):
    return ChangedAttribute("cache", "/data/train.py:9", "dict", start, end, changes)


def counter(start=0.0, end=64.0, changes=4):
    return ChangedAttribute("calls", "/data/train.py:11", "int", start, end, changes)


def epochs(first_s, second_s):
    return [EpochTimes(0.1, first_s, 0.0, 10, first_s + 0.1), EpochTimes(0.1, second_s, 0.0, 10, second_s + 0.1)]


def state(*attributes, second_s=0.1, current=None, **changes):
    rows = [row(worker, epoch, attributes=attributes, **changes) for epoch in (0, 1) for worker in (0, 1)]
    kept = made_up(0, config_of(0), 1000.0, epochs=epochs(9.0, second_s))
    lost = made_up(1, config_of(2), 1000.0, epochs=epochs(5.0, 5.0))
    return worker_state.find(context_of(kept, lost, probes=[probe(*rows)], current=current))


def test_a_cache_that_dies_with_its_workers_is_lost():
    (finding,) = state(cache(), current=config_of(2))
    assert (finding.code, finding.severity, finding.change) == ("cache-lost", "warning", "persistent_workers=True")
    assert finding.evidence["saved_share"] == pytest.approx(1 - 0.1 / 9.0, abs=0.001)
    assert finding.gain_s is not None and finding.gain_s.value == pytest.approx(0.9 * (1 - 0.1 / 9.0) * 51.0, rel=0.01)
    assert finding.remedy is not None and finding.config == PERSISTENT


def test_a_container_that_saves_nothing_is_mere_state():
    assert [finding.code for finding in state(cache(), second_s=8.5)] == ["shared-state"]


def test_persistent_workers_may_cache():
    assert not state(cache(), current=PERSISTENT)


def test_what_is_counted_in_workers_is_lost_without_a_warning():
    (finding,) = state(counter())
    assert (finding.code, finding.severity) == ("shared-state", "info")
    assert finding.evidence["attributes"] == {"calls": {"start": 0.0, "end": 64.0, "changes": 4}}


def test_what_is_prepared_once_or_tells_a_position_is_fine():
    assert not state(counter(changes=1))
    assert not state(counter(), hashed=64, distinct=64, repeated=0)


def with_setter(config, **fields):
    return made_up(0, config, 1000.0, epoch_setter=EpochSetter("epoch", "/data/train.py:12"), **fields)


@pytest.mark.parametrize(("current", "severity"), [(PERSISTENT, "warning"), (config_of(2), "info"), (None, "info")])
def test_set_epoch_is_lost_where_workers_live_on(current, severity):
    (finding,) = set_epoch.find(context_of(with_setter(config_of(2)), current=current))
    assert (finding.code, finding.severity, finding.evidence["attribute"]) == ("set-epoch-lost", severity, "epoch")
    assert "train.py:12" in finding.message


def test_set_epoch_is_told_beside_what_persistent_workers_save():
    faster = dataclasses.replace(made_up(1, PERSISTENT, 2000.0), id=1)
    (finding,) = set_epoch.find(context_of(with_setter(config_of(2)), faster, current=PERSISTENT))
    assert finding.evidence["persistent_workers_save_s"] == pytest.approx(160.0)


def test_without_set_epoch_nothing_is_said():
    assert not set_epoch.find(context_of(made_up(0, PERSISTENT, 1000.0), current=PERSISTENT))
