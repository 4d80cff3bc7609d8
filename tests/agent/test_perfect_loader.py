"""A perfect loader serves its batches from memory as if they were new each time, whatever its consumer does with them."""

import collections
import dataclasses

import numpy
import pytest
import torch

from loaderscope.agent.perfect_loader import EXAMINED_BATCHES, MOST_BATCHES, PerfectBatches, leaves_of

ROUNDS = 3
FOREVER_S = float("inf")


def batches_of(count, make):
    return iter([make(number) for number in range(count)])


def perfect_of(batches, memory_bytes=1 << 30):
    perfect = PerfectBatches(memory_bytes)
    perfect.fetch(lambda: next(batches), FOREVER_S)
    return perfect


def serve(perfect, step, rounds=ROUNDS):
    """Lets `step` take every batch in several rounds; returns copies of what it got, by round."""
    got = []
    for _ in range(rounds * len(perfect)):
        batch = perfect.next()
        got.append([leaf.clone() if isinstance(leaf, torch.Tensor) else leaf.copy() for leaf in leaves_of(batch)])
        step(batch)
    return [got[start : start + len(perfect)] for start in range(0, len(got), len(perfect))]


def plain(number):
    return {"x": torch.full((4, 3), float(number)), "y": torch.full((4,), number)}


def same(first, second):
    return all(torch.equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True))


CHANGES = {
    "in place": lambda batch: batch["x"].mul_(2),
    "gradient": lambda batch: batch["x"].requires_grad_(),
    "shape": lambda batch: batch["x"].unsqueeze_(0),
    "data": lambda batch: batch["x"].data.fill_(9),
    "numpy": lambda batch: batch["x"].numpy().fill(9),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_the_consumer_changes_in_place_comes_unchanged_the_next_time(name):
    perfect = perfect_of(batches_of(6, plain))
    first, *others = serve(perfect, CHANGES[name])
    assert all(same(first, other) for other in others)
    assert any("in place" in note for note in perfect.notes(0.01))


def test_the_consumer_may_take_parts_out_of_the_containers():
    def step(batch):
        del batch["meta"]["name"]
        batch["parts"].pop()
        batch.pop("x")

    def make(number):
        return {"x": torch.ones(2), "parts": [torch.zeros(2), torch.ones(2)], "meta": {"name": "a", "t": (torch.ones(1), 3)}}

    perfect = perfect_of(batches_of(6, make))
    first, *others = serve(perfect, step)
    assert all(same(first, other) for other in others)
    assert not any("in place" in note for note in perfect.notes(0.01))


def test_tensors_that_nobody_changes_are_not_copied():
    perfect = perfect_of(batches_of(6, plain))
    served = [perfect.next() for _ in range(18)]
    assert served[6]["x"] is not served[0]["x"]  # the first are examined
    assert all(served[number]["x"] is served[number + 6]["x"] for number in range(6, 12))
    assert served[6] is not served[12]


def test_a_consumer_that_changes_batches_only_later_gets_copies_from_then_on():
    perfect = perfect_of(batches_of(8, plain))
    for number in range(8):
        batch = perfect.next()
        if number >= EXAMINED_BATCHES:
            batch["x"].add_(1)
    second = [perfect.next() for _ in range(8)]
    for batch in second:
        batch["x"].add_(1)
    third = [perfect.next() for _ in range(8)]
    assert any("in place" in note for note in perfect.notes(None))
    assert all(torch.equal(third[number]["x"], second[number]["x"] - 1) for number in range(EXAMINED_BATCHES, 8))


Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass
class Sample:
    x: torch.Tensor
    parts: list


class Mapping(collections.UserDict):
    pass


@pytest.mark.parametrize(
    "make",
    [
        lambda number: torch.ones(3) * number,
        lambda number: [torch.ones(3), "text", None, 5],
        lambda number: (torch.ones(3), numpy.arange(4)),
        lambda number: Pair(torch.ones(3), [torch.ones(2)]),
        lambda number: Sample(torch.ones(3), [torch.ones(2)]),
        lambda number: Mapping(x=torch.ones(3)),
        lambda number: collections.OrderedDict(x=torch.ones(3)),
        lambda number: "only text",
        lambda number: numpy.ones(3),
    ],
)
def test_every_kind_of_container_keeps_its_type_and_content(make):
    perfect = perfect_of(batches_of(3, make))
    for _ in range(9):
        batch = perfect.next()
        assert type(batch) is type(make(0))
        assert len(leaves_of(batch)) == len(leaves_of(make(0)))


def test_no_more_batches_are_fetched_than_a_perfect_loader_may_hold():
    taken = []
    batches = batches_of(200, lambda number: taken.append(number) or torch.ones(2))
    perfect = PerfectBatches(1 << 30)
    assert not perfect.fetch(lambda: next(batches), FOREVER_S)
    assert len(perfect) == MOST_BATCHES


def test_the_memory_limits_the_batches_but_one_is_always_held():
    perfect = perfect_of(batches_of(50, lambda number: torch.zeros(1000)), memory_bytes=20_000)  # each has a copy
    assert len(perfect) == 2
    assert any("2 batches" in note and "0.02 MB" in note for note in perfect.notes(None))
    assert len(perfect_of(batches_of(50, lambda number: torch.zeros(1000)), memory_bytes=1)) == 1


def test_a_slow_loader_gives_fewer_batches_but_one_at_least():
    now_s = 0.0

    def slow_batch():
        nonlocal now_s
        now_s += 4.0
        return torch.ones(2)

    for longest_s, count in ((10.0, 3), (1.0, 1)):
        perfect = PerfectBatches(1 << 30)
        assert not perfect.fetch(slow_batch, longest_s, clock=lambda: now_s)
        assert len(perfect) == count
        assert any(f"{longest_s:g} s" in note for note in perfect.notes(None))


def test_a_short_last_batch_is_left_out():
    sizes = iter([4, 4, 2])
    perfect = PerfectBatches(1 << 30)
    assert perfect.fetch(lambda: torch.ones(next(sizes)), FOREVER_S)
    assert len(perfect) == 2
    alone = iter([2])
    perfect = PerfectBatches(1 << 30)
    perfect.fetch(lambda: torch.ones(next(alone)), FOREVER_S)
    assert len(perfect) == 1


def test_nothing_random_is_drawn():
    state = torch.get_rng_state()
    serve(perfect_of(batches_of(6, plain)), CHANGES["in place"])
    assert torch.equal(state, torch.get_rng_state())


def test_tensors_of_inference_are_served():
    def make(number):
        with torch.inference_mode():
            return torch.ones(3) * number

    perfect = perfect_of(batches_of(5, make))
    assert [float(perfect.next()[0]) for _ in range(10)] == [0, 1, 2, 3, 4] * 2


class AttributeDict(dict):
    __getattr__ = dict.__getitem__  # raises KeyError for an attribute that it lacks


class Samples(collections.namedtuple("Samples", "x y")):
    def __new__(cls, samples):
        return super().__new__(cls, *samples)


ODD_BATCHES = {
    "mapping with attributes": lambda number: AttributeDict(plain(number)),
    "named tuple with its own constructor": lambda number: Samples(plain(number).values()),
    "sparse": lambda number: {"x": torch.eye(4).mul(number + 1).to_sparse()},
    "sparse rows": lambda number: [torch.eye(4).mul(number + 1).to_sparse_csr()],
    "nested": lambda number: [torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])],
}


@pytest.mark.filterwarnings("ignore")  # torch calls some of these layouts prototypes
@pytest.mark.parametrize("name", ODD_BATCHES)
def test_a_batch_of_an_odd_kind_is_served_with_its_types_and_without_an_error(name):
    perfect = perfect_of(batches_of(2, ODD_BATCHES[name]))
    expected = ODD_BATCHES[name](0)
    for _ in range(EXAMINED_BATCHES + 2):
        assert type(perfect.next()) is type(expected)


@pytest.mark.parametrize("name", ["in place", "gradient", "shape"])
def test_a_change_that_begins_late_is_never_served(name):
    perfect = perfect_of(batches_of(3, plain))
    for served in range(EXAMINED_BATCHES + 9):
        batch, expected = perfect.next(), plain(served % 3)
        assert torch.equal(batch["x"], expected["x"])
        assert not batch["x"].requires_grad
        if served > EXAMINED_BATCHES:
            CHANGES[name](batch)
