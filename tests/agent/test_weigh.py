"""What workers are sent, weighed attribute by attribute."""

import multiprocessing
import pathlib
import pickle
import threading

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

from loaderscope.agent.trials import Feed
from loaderscope.agent.weigh import UnreadState, weigh


class Listed(Dataset):
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index

    def method(self):
        return self


class Reduced(Listed):
    def __reduce__(self):
        return Reduced, (), {"sent": list(range(1000))}


class WithState(Listed):
    def __getstate__(self):
        return {"path": self.path}


class Reopening(Listed):
    def __setstate__(self, state):
        raise AssertionError("it runs in workers only")


class Endless(Listed):
    ended = threading.Event()

    def __getstate__(self):
        self.ended.wait()
        return {}


def weighed(source, namespace=None, **options):
    dataset = source.dataset if isinstance(source, DataLoader) else source
    return {part["attribute"]: part for part in weigh(Feed(source, namespace or {}), UnreadState(dataset), **options)}


def test_attributes_are_weighed_one_by_one_and_add_up_to_the_whole():
    dataset = Listed(rows=[str(number) for number in range(20_000)], table=np.zeros(100_000), name="x")
    parts = weighed(dataset)
    assert parts["dataset.rows"]["type_name"] == "list of str"
    assert parts["dataset.table"]["bytes"] > 800_000
    assert sum(part["bytes"] for part in parts.values()) == pytest.approx(len(pickle.dumps(dataset)), rel=0.01)
    assert next(iter(parts)) == "dataset.table", "heaviest first"
    assert all(part["unpickle_s"] is not None and part["error"] is None for part in parts.values())


def test_what_two_attributes_share_counts_once():
    rows = list(range(50_000))
    parts = weighed(Listed(rows=rows, again={"rows": rows}))
    assert parts["dataset.rows"]["bytes"] > 100_000
    assert parts["dataset.again"]["bytes"] < 100


def test_an_attribute_that_leads_back_to_the_dataset_is_not_charged_with_all_of_it():
    dataset = Listed()
    dataset.callback = dataset.method
    dataset.rows = list(range(50_000))
    assert weighed(dataset)["dataset.callback"]["bytes"] < 200


def test_wrappers_are_looked_into():
    inner = Listed(rows=list(range(10_000)))
    assert {"dataset.dataset.rows", "dataset.indices"} <= set(weighed(Subset(inner, [1, 2])))
    parts = weighed(ConcatDataset([inner, TensorDataset(torch.zeros(4))]))
    assert {"dataset.datasets[0].rows", "dataset.datasets[1].tensors"} <= set(parts)


def test_tensors_are_sent_as_handles_and_stay_where_they_are():
    tensor = torch.zeros(1_000_000)
    parts = weighed(Listed(tensor=tensor, inside={"view": tensor[:10]}))
    assert parts["dataset.tensor"]["bytes"] < 1000
    assert parts["dataset.tensor"]["pickle_s"] > 0
    assert not tensor.is_shared()
    assert (parts["dataset.tensor"]["shared_bytes"], parts["dataset.inside"]["shared_bytes"]) == (4_000_000, 0)


def test_the_datasets_own_way_to_be_pickled_is_what_counts():
    assert set(weighed(Reduced(kept=list(range(100_000))))) == {"dataset"}
    assert set(weighed(WithState(path="a", cache=list(range(100_000))))) == {"dataset.path"}


def test_code_of_a_dataset_that_runs_when_it_is_unpickled_is_listed_and_not_run():
    part = weighed(Reopening(path="a"))["dataset.__setstate__()"]
    assert (part["bytes"], part["unpickle_s"], part["error"]) == (0, None, None)


def test_what_cannot_be_pickled_is_told_and_the_rest_is_weighed():
    with pathlib.Path(__file__).open() as file:
        dataset = Listed(transform=lambda value: value, file=file, lock=threading.Lock(), rows=list(range(1000)))
        parts = weighed(dataset)
    for name in ("transform", "file", "lock"):
        error = parts[f"dataset.{name}"]["error"]
        assert "cannot be" in error and (name in error or "pickle" in error)
    assert parts["dataset.rows"]["error"] is None
    assert parts["dataset.rows"]["unpickle_s"] is not None


def test_queues_and_locks_of_multiprocessing_are_sent_as_to_a_spawned_process():
    spawn = multiprocessing.get_context("spawn")
    parts = weighed(Listed(queue=spawn.Queue(), event=spawn.Event()))
    assert [part["error"] for part in parts.values()] == [None, None]
    assert parts["dataset.queue"]["unpickle_s"] is None, "its handles must stay with it"


def test_huge_arrays_are_not_copied():
    parts = weighed(Listed(huge=np.zeros(40 << 20), small=1))
    assert parts["dataset.huge"]["bytes"] == (40 << 20) * 8
    assert "not copied" in parts["dataset.huge"]["error"]
    assert parts["dataset.small"]["error"] is None


def test_time_is_bounded_and_what_is_left_says_so():
    parts = weighed(Listed(rows=[[number] for number in range(300_000)], last=[1]), limit_s=0.02)
    assert "larger than this" in parts["dataset.rows"]["error"]
    assert parts["dataset.rows"]["bytes"] > 0
    assert set(parts) == {"dataset.rows", "dataset.last"}


def test_code_of_the_user_that_does_not_end_is_left_behind():
    try:
        assert "too long" in weighed(Endless(), limit_s=0.05)["dataset"]["error"]
    finally:
        Endless.ended.set()


def test_reading_a_sample_before_does_not_count():
    dataset = Listed(file=None, cache={})
    unread = UnreadState(dataset)
    dataset.file, dataset.opened = threading.Lock(), threading.Lock()
    parts = {part["attribute"]: part for part in weigh(Feed(dataset, {}), unread)}
    assert set(parts) == {"dataset.file", "dataset.cache"}
    assert parts["dataset.file"]["error"] is None


def test_functions_count_and_the_sampler_stays_in_main():
    loader = DataLoader(Listed(rows=[1]), batch_size=2, shuffle=True, collate_fn=Listed(tokens=list(range(1000))).method)
    parts = weighed(loader)
    assert parts["collate_fn"]["owner"] == "collate_fn"
    assert parts["collate_fn"]["bytes"] > 1000
    assert (parts["sampler"]["type_name"], parts["sampler"]["bytes"]) == ("RandomSampler", 0)
    assert "worker_init_fn" in weighed(Listed(), {"worker_init_fn": len})
