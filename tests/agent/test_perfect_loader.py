"""A perfect loader serves its batches from memory as if they were new each time, whatever its consumer does with them."""

import collections
import dataclasses

import numpy
import pytest
import torch

from loaderscope.agent.batch_copies import leaves_of
from loaderscope.agent.perfect_loader import MOST_BATCHES, NoCeilingError, PerfectBatches

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


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_comes_while_the_batch_is_served_again_is_not_seen(name):
    perfect = perfect_of(batches_of(1, plain))
    late = perfect.next()
    served = perfect.next()
    CHANGES[name](late)
    assert same([[served["x"]]], [[plain(0)["x"]]])


def test_a_change_at_the_end_of_a_large_tensor_is_not_served():
    perfect = perfect_of(batches_of(2, lambda number: torch.zeros(300_000)))
    for _ in range(8):
        batch = perfect.next()
        assert not batch.any()
        batch.numpy()[-1] = 1


def test_a_loader_that_uses_the_memory_of_a_batch_again_is_served_as_it_was():
    memory = torch.zeros(3)
    perfect = perfect_of(map(memory.fill_, range(3)))
    assert [float(perfect.next()[0]) for _ in range(6)] == [0, 1, 2] * 2


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
    perfect = perfect_of(batches_of(50, lambda number: torch.zeros(1000)), memory_bytes=20_000)
    assert len(perfect) == 5
    assert any("5 batches" in note and "0.02 MB" in note for note in perfect.notes(None))
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
}


@pytest.mark.filterwarnings("ignore")  # torch calls some of these layouts prototypes
@pytest.mark.parametrize("name", ODD_BATCHES)
def test_a_batch_of_an_odd_kind_is_served_with_its_types_and_without_an_error(name):
    perfect = perfect_of(batches_of(2, ODD_BATCHES[name]))
    expected = ODD_BATCHES[name](0)
    for _ in range(6):
        assert type(perfect.next()) is type(expected)


def shifted(number):
    tokens = torch.arange(12.0).reshape(2, 6) + number
    return {"inputs": tokens[:, :-1], "labels": tokens[:, 1:], "mask": torch.ones(1, 6).expand(2, 6)}


def test_copies_keep_strides_and_share_memory_where_the_batch_does():
    perfect = perfect_of(batches_of(2, shifted))
    for served in range(4):
        batch, expected = perfect.next(), shifted(served % 2)
        assert {name: part.stride() for name, part in batch.items()} == {name: part.stride() for name, part in expected.items()}
        assert all(torch.equal(batch[name], expected[name]) for name in expected)
        batch["inputs"][0, 1] = 99
        assert batch["labels"][0, 0] == 99


def test_what_is_in_two_places_of_a_batch_is_one_in_its_copies():
    def make(number):
        x = torch.ones(2)
        return {"a": x, "b": [x]}

    batch = perfect_of(batches_of(1, make)).next()
    assert batch["a"] is batch["b"][0]


def test_views_of_a_large_memory_are_copied_without_the_rest():
    data = torch.arange(4000.0)
    perfect = perfect_of(batches_of(9, lambda number: data[number * 4 : number * 4 + 4]), memory_bytes=100)
    assert len(perfect) == 6
    assert perfect.next().untyped_storage().nbytes() < 64


class Slots:
    __slots__ = ("x",)

    def __init__(self):
        self.x = torch.ones(2)


class Pieces(tuple):
    pass


class Raising:
    def __copy__(self):
        raise ZeroDivisionError


def with_attribute():
    x = torch.ones(2)
    x.meaning = "a"
    return x


UNCOPYABLE = {
    "parameter": lambda: torch.nn.Parameter(torch.ones(2)),
    "attribute": with_attribute,
    "history": lambda: torch.ones(2, requires_grad=True) * 2,
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "conjugate": lambda: torch.ones(2, dtype=torch.complex64).conj(),
    "thin view": lambda: torch.ones(100, 100)[:, 0],
    "slots": Slots,
    "tuple": lambda: Pieces([torch.ones(2)]),
    "set": lambda: {torch.ones(2)},
    "deque": lambda: collections.deque([torch.ones(2)]),
    "objects": lambda: numpy.array([[], None], dtype=object),
    "array of a tensor": lambda: [(x := torch.ones(2)), x.numpy()],
    "raises": Raising,
    "iterator": lambda: iter([1]),
    "cycle": lambda: (part := []).append(part) or part,
}


@pytest.mark.filterwarnings("ignore")  # torch calls nested tensors a prototype
@pytest.mark.parametrize("name", UNCOPYABLE)
def test_a_batch_of_which_no_copy_is_surely_the_same_gives_no_ceiling(name):
    with pytest.raises(NoCeilingError, match="no ceiling"):
        perfect_of(batches_of(2, lambda number: {"x": torch.ones(2), "odd": UNCOPYABLE[name]()}))


def test_what_the_loader_itself_raises_is_the_scripts_error():
    def broken():
        raise KeyError("x")

    with pytest.raises(KeyError):
        PerfectBatches(1 << 30).fetch(broken, FOREVER_S)
