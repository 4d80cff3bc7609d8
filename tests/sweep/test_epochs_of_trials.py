"""Trials with an open number of epochs, streams that end before the limit, and samples that workers drop."""

import pytest
from running import request, run_pool, write_script

from loaderscope.analysis.verdict import judge

CACHED = """
import time
import torch
from torch.utils.data import Dataset

class Cached(Dataset):
    def __init__(self):
        self.cache = {}
    def __len__(self):
        return 96
    def __getitem__(self, index):
        if index not in self.cache:
            time.sleep(0.004)
            self.cache[index] = torch.tensor(float(index))
        return self.cache[index]

cached = Cached()
"""

STREAM = """
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

class Stream(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, 74, step))

class Promising(Stream):
    def __len__(self):
        return 1000

streams = {"plain": Stream(), "promising": Promising()}
"""


@pytest.mark.parametrize("start_method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_cache_that_workers_lose_after_each_epoch_costs_every_later_one(tmp_path, start_method):
    script = write_script(tmp_path, CACHED)
    sink = run_pool(request(script, (0, 2), start_method, batch_size=(8,), batches=100, epochs=2, train_epochs=1000))
    kept, lost = sink.results
    assert [epoch.batches for epoch in kept.epochs + lost.epochs] == [12] * 4
    assert kept.epochs[0].epoch_s > 0.3 and kept.epochs[0].epoch_s > 2 * kept.epochs[1].epoch_s
    assert lost.epochs[1].epoch_s > 0.19
    assert judge(sink.run, sink.results).recommendation.config == kept.config


def test_two_short_epochs_are_measured_unless_the_user_asks_for_another_number(tmp_path):
    script = write_script(tmp_path, CACHED)
    sink = run_pool(request(script, (0,), batch_size=(8,), batches=100, epochs=None))
    assert [epoch.batches for epoch in sink.results[0].epochs] == [12, 12]
    assert judge(sink.run, sink.results).recommendation.caveat is None
    once = run_pool(request(script, (0,), batch_size=(8,), batches=100, epochs=1))
    assert len(once.results[0].epochs) == 1
    assert judge(once.run, once.results).recommendation.caveat is not None


def test_a_loader_with_few_batches_shows_a_rate_after_more_epochs(tmp_path):
    sink = run_pool(request(write_script(tmp_path, CACHED), (2,), batch_size=(32,), batches=100, epochs=None))
    (result,) = sink.results
    assert [epoch.batches for epoch in result.epochs] == [3] * len(result.epochs)
    assert len(result.epochs) >= 3
    assert result.samples_per_second is not None
    assert judge(sink.run, sink.results).recommendation is not None


@pytest.mark.parametrize("name", ["plain", "promising"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_that_ends_early_has_as_many_batches_as_it_gave(tmp_path, name, workers):
    script = write_script(tmp_path, STREAM + f"stream = streams[{name!r}]\n")
    (whole,) = run_pool(request(script, (workers,), target="stream", batch_size=(2,), batches=100)).results
    assert (whole.batches, whole.epoch_batches) == (37 if not workers else 38, whole.batches)
    assert whole.epoch_s is not None
    (cut,) = run_pool(request(script, (workers,), target="stream", batch_size=(2,), batches=20)).results
    assert (cut.batches, cut.epoch_batches) == (20, 500 if name == "promising" else None)


@pytest.mark.parametrize("start_method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_samples_that_each_worker_drops_are_counted(tmp_path, start_method):
    loader = "loader = DataLoader(streams['plain'], batch_size=16, drop_last=True)\n"
    sink = run_pool(request(write_script(tmp_path, STREAM + loader), (0, 2, 5), start_method, target="loader", batches=None))
    assert [result.batches for result in sink.results] == [4, 4, 0]
    assert [result.dropped_samples for result in sink.results] == [10, 10, 74]
    assert "drop_last" in sink.results[2].samples_per_second_reason
    findings = {finding.code: finding for finding in judge(sink.run, sink.results).findings}
    assert findings["dropped-samples"].trials == [2]
