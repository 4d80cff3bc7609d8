"""What cannot be pickled is named by its path, with a remedy; each case is really refused by the pickler of multiprocessing."""

import collections
import dataclasses
import functools
import multiprocessing
import socket
import sqlite3
import sys
import threading
import weakref
from multiprocessing.reduction import ForkingPickler

import pytest
import torch

from loaderscope.agent.unpicklable import TO_MAIN, Part, explain


class Dataset:
    def __init__(self, **attributes):
        vars(self).update(attributes)

    def read(self):
        return self


class Compose:
    def __init__(self, *transforms):
        self.transforms = transforms


class Slotted:
    __slots__ = ("handle",)


class HdfFile:
    def __reduce__(self):
        raise TypeError("h5py objects cannot be pickled")


class Odd:
    def __getstate__(self):
        raise RuntimeError("not me")


def local_function():
    def inner(item):
        return item

    return inner


def local_object():
    class Inner:
        pass

    return Inner()


def replaced():
    """A function under whose name something else stands."""


original, replaced = replaced, None


def slotted(handle):
    made = Slotted()
    made.handle = handle
    return made


def deep():
    made = []
    for _ in range(10_000):
        made = [made]
    return made


def why(dataset, path="the dataset", **options) -> str | None:
    try:
        ForkingPickler.dumps(dataset)
    except Exception as error:
        return explain(Part(path, dataset), error, **options)
    return None


@pytest.mark.parametrize(
    ("value", "path", "what", "remedy"),
    [
        (Compose(str, Compose(lambda item: item)), "part.transforms[1].transforms[0]", "a lambda (test_unpicklable.py, line", "function"),
        (local_function(), "part", "a function that is defined inside local_function() (test_unpicklable.py", "top level"),
        ([local_object()], "part[0]", "an object of the class Inner that is defined inside local_object()", "that class"),
        (type(local_object()), "part", "a class that is defined inside local_object()", "top level"),
        (original, "part", "the function replaced, but it is not what stands in its module under that name", "name of its own"),
        ({"a": sqlite3.connect(":memory:")}, 'part["a"]', "a database handle (sqlite3.Connection)", "connect in the worker"),
        (sqlite3.connect(":memory:").cursor(), "part", "a database handle (sqlite3.Cursor)", "connect in the worker"),
        (HdfFile(), "part", "an open HDF5 file", "keep its path"),
        (threading.Lock(), "part", "a lock", "in the worker"),
        (threading.Event(), "part", "a threading.Event", "in the worker"),
        (threading.local(), "part", "a thread's own storage", "in the worker"),
        ((item for item in ()), "part", "a generator", "made from"),
        (memoryview(b"abc"), "part", "a memoryview", "bytes or an array"),
        (socket, "part", "the module socket", "import it"),
        (functools.partial(max, key=lambda item: item), 'part.keywords["key"]', "a lambda", "function"),
        (Dataset(lock=threading.Lock()).read, "part.__self__.lock", "a lock", "in the worker"),
        (torch.ones(2, requires_grad=True) * 2, "part", "a tensor with a history of gradients", "detach"),
        (Odd(), "part", "a test_unpicklable.Odd", "(not me)"),
    ],
)
def test_the_part_that_holds_it_is_named_with_the_remedy(value, path, what, remedy):
    sentence = why(Dataset(part=value, other=1))
    assert sentence.startswith(f"dataset.{path} is {what}"), sentence
    assert remedy in sentence.partition("cannot be sent to a worker: ")[2]


def test_open_files_are_found_in_slots_sets_and_dictionaries():
    with open(__file__) as file:
        for value, path in (
            (slotted(file), "dataset.part.handle"),
            ({file}, "an item of dataset.part"),
            ({file: 1}, "a key of dataset.part"),
        ):
            assert why(Dataset(part=value)).startswith(f"{path} is an open file (TextIOWrapper)")


def test_the_dataset_itself_can_be_the_part():
    assert why(local_object()).startswith("the dataset is an object of the class Inner")


def test_a_lock_between_processes_is_not_blamed_as_it_travels_with_a_worker():
    dataset = Dataset(shared=multiprocessing.get_context("spawn").Lock(), odd=Odd())
    assert explain(Part("the dataset", dataset), RuntimeError("not me")).startswith("dataset.odd is ")


def test_a_part_far_behind_in_a_long_list_is_found():
    assert why(Dataset(part=[1] * 2000 + [threading.Lock()])).startswith("dataset.part[2000] is a lock")


def test_a_list_too_long_to_look_at_is_not_blamed_itself():
    sentence = why(Dataset(part=[1] * 20_000 + [threading.Lock()]))
    assert sentence.startswith("something in dataset.part cannot be sent to a worker")
    assert "lock" in sentence


def test_what_is_nested_too_deeply_is_told_as_such():
    assert why(Dataset(part=deep())).startswith("the dataset is a test_unpicklable.Dataset of too many levels")


def test_a_lock_between_processes_cannot_go_through_a_queue():
    batch = {"shared": multiprocessing.get_context("spawn").Lock(), "rows": torch.zeros(2)}
    assert why(batch, "the batch", route=TO_MAIN).startswith('batch["shared"] is a lock, which cannot be sent from a worker')


Pair = collections.namedtuple("Pair", "rows text")


@dataclasses.dataclass
class Record:
    rows: object
    lock: object


class Refuses:
    def __init__(self, error):
        self.error = error

    def __getstate__(self):
        raise self.error


@pytest.mark.parametrize(
    ("batch", "path", "what", "remedy"),
    [
        ({"x": 1, "meta": [{"fn": lambda item: item}]}, 'batch["meta"][0]["fn"]', "a lambda (test_unpicklable.py, line", "top level"),
        ([torch.ones(2, requires_grad=True) * 2], "batch[0]", "a tensor with a history of gradients", "detach()"),
        (Record([1], threading.Lock()), "batch.lock", "a lock", "leave it out"),
        (Pair([1], (letter for letter in "ab")), "batch[1]", "a generator", "return a list"),
        ({"part": Refuses(ValueError("not me"))}, 'batch["part"]', "a test_unpicklable.Refuses", "return numbers"),
        ({"part": Refuses(IndexError("out of it"))}, 'batch["part"]', "a test_unpicklable.Refuses", "return numbers"),
        ({"part": weakref.ref(Compose)}, 'batch["part"]', "a weak reference", "return numbers"),
        ({"part": sys.__stdout__}, 'batch["part"]', "an open file", "return what is in it"),
    ],
)
def test_a_part_of_a_batch_has_a_remedy_of_its_own(batch, path, what, remedy):
    sentence = why(batch, "the batch", route=TO_MAIN)
    assert sentence is not None and sentence.startswith(f"{path} is {what}")
    assert remedy in sentence.partition("cannot be sent from a worker to the main process: ")[2]


def test_what_fails_otherwise_is_not_explained():
    assert explain(Part("the dataset", Dataset(odd=Odd())), TypeError("another")) is None
    assert explain(Part("the dataset", Dataset()), RuntimeError("not me")) is None
