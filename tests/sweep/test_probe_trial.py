"""A sweep ends with a trial that looks closer at what workers do with the dataset, and changes nothing of that."""

import dataclasses

import pytest
from running import request, run_pool, write_script

from loaderscope.agent.messages import Consumer, Target, TrialConfig
from loaderscope.analysis.verdict import judge
from loaderscope.facts.request import Axes, Request
from loaderscope.sweep.space import Facts, plan
from loaderscope.sweep.trial_size import PROBE_EPOCHS, batches_of, epochs_asked_for

FACTS = Facts(usable_cpus=4, start_methods=("fork", "spawn"), default_start_method="spawn", accelerator=False)
OWN = TrialConfig(3, 16, 2, False, True, "fork", True, "process")


def probes(current=None, facts=FACTS, **options):
    target = Target(
        "data", "dataset" if current is None else "loader", "Data", "variable", dataset_kind="map", length=1000, current=current
    )
    made = dataclasses.replace(Request("script.py", axes=Axes(**options.pop("axes", {}))), **options)
    trials = plan(made, target, facts)
    assert [trial.id for trial in trials] == list(range(len(trials)))
    return [trial for trial in trials if trial.probe]


def test_it_comes_last_with_two_workers_of_the_default_start_method():
    (trial,) = probes(axes={"start_method": ("fork", "spawn"), "persistent_workers": (True,)}, consumer=Consumer("script"))
    assert trial.id == 8  # after 0 workers, 3 numbers of workers by 2 start methods, and a perfect loader
    config = trial.config
    assert (config.num_workers, config.start_method, config.persistent_workers, config.backend) == (2, "spawn", False, "process")
    assert [trial.config.num_workers for trial in probes(axes={"num_workers": (0, 4, 8)})] == [4]


def test_it_has_the_users_own_setting_if_that_has_workers():
    (trial,) = probes(OWN)
    assert (trial.config.num_workers, trial.config.start_method, trial.config.persistent_workers) == (3, "fork", False)
    (trial,) = probes(TrialConfig(0, 16))
    assert trial.config.num_workers == 2


@pytest.mark.parametrize(
    "change",
    [
        {"probe_trial": False},
        {"consumer": Consumer("training")},
        {"startup": True},
        {"gpu_window": 5},
        {"axes": {"num_workers": (0,)}},
        {"axes": {"backend": ("thread",)}},
    ],
)
def test_some_sweeps_have_none(change):
    assert not probes(**change)


def test_it_reads_little():
    (trial,) = probes()
    assert epochs_asked_for(Request("a.py", epochs=7), trial) == PROBE_EPOCHS
    assert batches_of(Request("a.py"), trial) == 8
    assert batches_of(Request("a.py", batches=3), trial) == 3
    one = dataclasses.replace(trial, config=dataclasses.replace(trial.config, batch_size=1))
    assert batches_of(Request("a.py"), one) == 32


SCRIPT = """
import itertools, random
import numpy, torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

class Noisy(Dataset):
    def __init__(self):
        self.rng = numpy.random.default_rng(0)
        self.calls = 0
        self.unused = random.Random(0)
    def __len__(self):
        return 400
    def __getitem__(self, index):
        self.calls += 1
        return torch.tensor([self.rng.random(), random.random(), torch.rand(()).item(), float(index)])

class Stream(IterableDataset):
    def __init__(self, shares, epoch=0):
        self.shares, self.epoch = shares, epoch
    def set_epoch(self, epoch):
        self.epoch = epoch
    def __iter__(self):
        info = get_worker_info()
        if info is None or self.shares == "none":
            return iter(range(self.epoch, 400))
        if self.shares == "one":
            return iter(range(400) if info.id == 0 else ())
        return iter(range(info.id, 400, info.num_workers))

def reseed(worker_id):
    info = get_worker_info()
    info.dataset.rng = numpy.random.default_rng(info.seed)

def print_batches(samples):
    print("batch", samples, flush=True)
    return torch.utils.data.default_collate(samples)

noisy, healthy = DataLoader(Noisy(), 8, num_workers=2), DataLoader(Noisy(), 8, num_workers=2, worker_init_fn=reseed)
printing = DataLoader(Noisy(), 8, num_workers=2, collate_fn=print_batches)
repeated, one_share, shared = (DataLoader(Stream(shares), 8, num_workers=2) for shares in ("none", "one", "all"))
"""


def sweep(folder, target, method="fork", **options):
    path = write_script(folder, SCRIPT)
    sink = run_pool(request(path, (2,), method, target=target, probe_trial=True, batches=8, **options))
    assert set(sink.statuses) == {"ok"}
    return sink


def found(sink):
    return {finding.code: finding for finding in judge(sink.run, sink.results).findings if finding.code != "disturbed"}


@pytest.mark.slow
def test_samples_and_random_numbers_stay_as_they_are(tmp_path):
    sink = sweep(tmp_path, "printing", epochs=2)
    printed = [sorted(line.text for line in sink.log if line.trial == number and line.text.startswith("batch")) for number in (0, 1)]
    assert len(printed[0]) == 16 and printed[0] == printed[1]
    assert [result.probe for result in sink.results] == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_generator_of_the_dataset_is_found_and_an_unused_one_is_not(tmp_path, method):
    findings = found(sweep(tmp_path, "noisy", method))
    assert findings["duplicate-seeds"].evidence["generators"] == ["rng"]
    assert findings["duplicate-seeds"].severity == "warning"
    assert findings["shared-state"].evidence["attributes"]["calls"]["end"] == 32
    assert not set(findings) & {"duplicate-samples", "idle-workers", "worker-imbalance", "cache-lost", "set-epoch-lost"}


@pytest.mark.slow
def test_a_dataset_that_is_seeded_in_each_worker_is_fine(tmp_path):
    assert set(found(sweep(tmp_path, "healthy"))) <= {"shared-state"}


@pytest.mark.slow
@pytest.mark.parametrize(("target", "code"), [("repeated", "duplicate-samples"), ("one_share", "idle-workers"), ("shared", None)])
def test_streams_are_shared_out_or_not(tmp_path, target, code):
    findings = found(sweep(tmp_path, target))
    assert {one for one, finding in findings.items() if finding.severity != "info"} == ({code} if code else set())
    assert findings["set-epoch-lost"].severity == "info"


@pytest.mark.slow
def test_the_probe_sees_each_epoch_of_each_worker(tmp_path):
    rows = sweep(tmp_path, "shared").results[1].probed_epochs
    assert [(row.worker, row.epoch, row.batches, row.samples) for row in rows] == [
        (0, 0, 4, 32),
        (0, 1, 4, 32),
        (1, 0, 4, 32),
        (1, 1, 4, 32),
    ]
    assert all((row.hashed_samples, row.distinct_samples, row.repeated_samples) == (32, 32, 0) for row in rows)
