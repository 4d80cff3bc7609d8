"""What is counted of a batch while it is pickled."""

import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
import torch.multiprocessing  # registers how tensors are pickled

from loaderscope.agent.sent_tensors import counting_pickler


class Holder:
    """An object of the user's own."""

    def __init__(self, inside):
        self.inside = inside


class Subclass(torch.Tensor):
    pass


ROWS = torch.zeros(8, 100)
SHARED = torch.ones(3)


@pytest.mark.parametrize(
    ("batch", "tensors", "size"),
    [
        (torch.zeros(10), 1, 40),
        ({"x": torch.zeros(4, 5), "y": [torch.zeros(2, dtype=torch.int64), torch.zeros(0)], "name": "a"}, 3, 96),
        (list(ROWS.unbind(0)), 8, 3200),  # one storage, sent once
        (ROWS[2], 1, 3200),  # whole
        ([SHARED, SHARED, (SHARED,)], 1, 12),
        (Holder([torch.zeros(6)]), 1, 24),
        (torch.zeros(5).as_subclass(Subclass), 1, 20),
        (["a", 1, Holder(b"2")], 0, 0),
    ],
)
def test_tensors_are_counted_wherever_they_lie_and_each_storage_once(batch, tensors, size):
    pickler, counts = counting_pickler(ForkingPickler)
    pickler.dumps((0, batch))
    assert counts == [tensors, size]


def test_what_comes_out_is_what_the_plain_pickler_makes():
    pickler, _ = counting_pickler(ForkingPickler)
    batch = ["a", 1, Holder([2.5]), {"x": (1, 2)}, Holder]
    assert bytes(pickler.dumps(batch)) == bytes(ForkingPickler.dumps(batch))


def test_a_pickler_that_has_its_own_way_with_objects_keeps_it():
    class Own(ForkingPickler):
        def reducer_override(self, obj):
            return (int, (7,)) if isinstance(obj, Holder) else NotImplemented

    pickler, counts = counting_pickler(Own)
    assert pickle.loads(pickler.dumps([Holder(torch.zeros(3)), "a"])) == [7, "a"]
    assert counts == [0, 0]
