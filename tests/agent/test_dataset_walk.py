"""What a dataset holds is read from outside: nothing is drawn, called or changed."""

import copy
import random

import numpy
import pytest
import torch

from loaderscope.agent.dataset_walk import (
    attributes_of,
    generator_digest,
    global_digests,
    held_by,
    methods_that_read,
    place_of_store,
    sample_digest,
)
from loaderscope.agent.epoch_setter import find_epoch_setter


class Transform:
    def __init__(self):
        self.rng = numpy.random.default_rng(0)


class Data:
    def __init__(self):
        self.cache = {}
        self.transform = [Transform(), Transform()]
        self.me = self

    def __getitem__(self, index):
        self.calls = index

    def __getattr__(self, name):
        raise RuntimeError("the user's code was called")


class Stream:
    def __init__(self, epoch=0):
        self.epoch = epoch

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(range(self.epoch))


class Unread(Stream):
    def __iter__(self):
        return iter(())


class Wrapper:
    def __init__(self):
        self.dataset = Stream()


def test_parts_of_parts_are_found_once_and_no_code_is_called():
    found = {attribute.route: attribute.value for attribute in attributes_of(Data())}
    assert {"cache", "transform", "transform[1].rng"} <= set(found)
    assert not any(route.startswith("me.") for route in found)


def test_a_walk_ends_however_much_there_is():
    chain = leaf = {}
    for _ in range(1000):
        leaf["next"] = {}
        leaf = leaf["next"]
    wide = Data()
    wide.transform = [[Transform() for _ in range(16)] for _ in range(16)]
    wide.chain = chain
    assert sum(1 for _ in attributes_of(wide)) < 2000


def torch_generator():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize(
    "make", [lambda: random.Random(3), lambda: numpy.random.default_rng(3), lambda: numpy.random.RandomState(3), torch_generator]
)
def test_the_state_of_a_generator_is_read_and_not_changed(make):
    generator, same = make(), make()
    assert generator_digest(generator) == generator_digest(generator) == generator_digest(same)
    drawn = getattr(generator, "random", None) or getattr(generator, "random_sample", None) or (lambda: torch.rand(1, generator=generator))
    drawn()
    assert generator_digest(generator) != generator_digest(same)


def test_other_objects_are_no_generators():
    assert generator_digest(random) is None and generator_digest(3) is None and generator_digest(random.SystemRandom()) is None


def test_the_generators_of_the_process_are_read_and_not_changed():
    assert set(global_digests()) == {"random", "numpy.random", "torch"}
    before = global_digests()
    assert before == global_digests()
    numpy.random.rand()
    after = global_digests()
    assert [name for name in before if before[name] != after[name]] == ["numpy.random"]


def test_samples_are_equal_if_all_that_they_hold_is():
    sample = {"x": torch.arange(12.0).reshape(3, 4).T, "y": [1, "two", numpy.zeros(3)], "z": None}
    assert sample_digest(sample) == sample_digest(copy.deepcopy(sample)) is not None
    other = copy.deepcopy(sample)
    other["y"][2][1] = 5
    assert sample_digest(other) != sample_digest(sample)
    assert sample_digest(torch.zeros(2)) != sample_digest(torch.zeros(2, dtype=torch.float64))
    assert sample_digest({"x": Data()}) is None


def test_large_arrays_are_compared_by_parts():
    large = numpy.zeros(1 << 20)
    other = large.copy()
    other[-1] = 1.0
    assert sample_digest(large) != sample_digest(other)


def test_what_processes_share_is_not_compared():
    assert held_by(torch.zeros(3)) is not None
    assert held_by(torch.zeros(3).share_memory_()) is None
    assert held_by([1, 2]) == held_by([3, 4]) != held_by([1])


def test_the_place_is_where_the_attribute_is_set():
    first = Data.__getitem__.__code__.co_firstlineno
    assert place_of_store(Data, "calls") == f"{__file__}:{first + 1}"
    assert place_of_store(Data, "nothing") is None
    assert methods_that_read(Stream, "epoch") == {"__iter__"}


def test_set_epoch_counts_where_it_stores_a_plain_value_that_is_read():
    place = f"{__file__}:{Stream.set_epoch.__code__.co_firstlineno}"
    assert find_epoch_setter(Stream()) == {"name": "epoch", "place": place}
    assert find_epoch_setter(Wrapper()) == {"name": "dataset.epoch", "place": place}
    assert find_epoch_setter(Stream(torch.zeros(()).share_memory_())) is None
    assert find_epoch_setter(Unread()) is None
    assert find_epoch_setter(Data()) is None
