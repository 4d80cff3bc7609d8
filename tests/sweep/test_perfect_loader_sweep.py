"""A sweep with a step of the script ends with a perfect loader, whatever that step does with its batches."""

import os

import pytest
from running import request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.analysis.span_lookup import spans_of, worker_lanes
from loaderscope.analysis.verdict import judge
from loaderscope.facts.results import MEASURED

DATA = """
import os, time
import torch
from torch.utils.data import Dataset

class Pairs(Dataset):
    def __len__(self):
        return 160
    def __getitem__(self, index):
        time.sleep(float(os.environ.get("FETCH_S", "0")))
        return {"x": torch.full((3,), float(index)), "y": index}

data = Pairs()
"""

UNSERVABLE = """
def collate_fn(samples):
    return {"x": torch.nn.Parameter(torch.stack([sample["x"] for sample in samples])), "y": torch.zeros(4)}
"""

STEPS = {
    "change in place": """
def train_step(batch):
    print("batch", batch["x"][:, 0].tolist(), flush=True)
    batch["x"].mul_(2)
""",
    "pop": """
def train_step(batch):
    print("batch", batch.pop("x")[:, 0].tolist(), batch.pop("y").tolist(), flush=True)
""",
}


def sweep(folder, step, workers=(0,), **options):
    path = write_script(folder, DATA + STEPS[step])
    plain = {"target": "data", "batch_size": (4,), "batches": 12, "epochs": 2, "ceiling": True}
    return run_pool(request(path, workers, **{**plain, **options}))


def printed(sink, trial):
    return [line.text for line in sink.log if line.trial == trial and line.text.startswith("batch")]


@pytest.mark.parametrize("step", STEPS)
def test_the_step_gets_the_same_batches_from_memory(tmp_path, step):
    sink = sweep(tmp_path, step)
    assert sink.statuses == ["ok", "ok"]
    assert [trial.perfect_loader for trial in sink.started] == [False, True]
    assert printed(sink, 1) == printed(sink, 0)[:12]  # in one epoch
    assert any("copies each batch" in note for note in sink.results[1].notes)


def test_batches_that_cannot_be_served_give_no_ceiling_and_no_failure(tmp_path):
    path = write_script(tmp_path, DATA + UNSERVABLE + STEPS["pop"])
    sink = run_pool(request(path, (0,), target="data", batch_size=(4,), batches=6, epochs=1, ceiling=True))
    assert sink.statuses == ["ok", "ok"]
    assert "Parameter" in sink.results[1].samples_per_second_reason
    assert sink.results[1].samples_per_second is None
    assert judge(sink.run, sink.results).ceiling is None


def test_its_waits_are_recorded_and_nobody_else_works(tmp_path):
    sink = sweep(tmp_path, "pop", workers=(2,))
    plain, perfect = sink.results
    assert [perfect.batches, perfect.config.num_workers] == [12, 0]
    trace = sink.traces[1]
    assert list(spans_of(trace, "main", State.WAIT).batch)[:12] == list(range(12))
    assert not spans_of(trace, "main", State.FETCH).size
    assert worker_lanes(sink.traces[0]) and not worker_lanes(trace)
    verdict = judge(sink.run, sink.results)
    assert (verdict.ceiling.trial, verdict.ceiling.source) == (1, MEASURED)
    assert [setting.trials for setting in verdict.settings] == [[0]]
    assert verdict.recommendation.config == plain.config


def test_a_loader_that_is_slow_to_fill_the_memory_does_not_hang(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "FETCH_S", "0.25")
    sink = sweep(tmp_path, "pop", workers=(4,), batch_size=(1,), batches=24, epochs=1, timeout_s=4)
    assert sink.statuses == ["ok", "ok"]
    assert sink.results[1].batches == 24
    assert any("fetched" in note for note in sink.results[1].notes)


def test_no_perfect_loader_is_measured_where_nobody_wants_to_know(tmp_path):
    assert [trial.perfect_loader for trial in sweep(tmp_path, "pop", ceiling=False).started] == [False]


def test_without_time_for_it_the_perfect_loader_is_skipped_like_a_setting(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "FETCH_S", "0.05")
    sink = sweep(tmp_path, "pop", batches=None, epochs=1, max_seconds=3)
    plain, perfect = sink.results
    assert plain.status in ("cancelled", "skipped")  # the latter where the start of the agent took all the time
    assert (perfect.perfect_loader, perfect.status) == (True, "skipped")
    assert judge(sink.run, sink.results).ceiling is None
