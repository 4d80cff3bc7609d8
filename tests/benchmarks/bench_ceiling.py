"""Prints the measured ceiling of consumers of known cost beside arithmetic: the batch's samples by the time of a step.

pytest -m benchmark -s tests/benchmarks/bench_ceiling.py
"""

from __future__ import annotations

import pytest
from running import request, run_pool, write_script

from loaderscope.agent.messages import Consumer
from loaderscope.analysis.verdict import judge

BATCH_SIZE, BATCHES = 16, 200

SCRIPT = """
import os, time
import torch
from torch.utils.data import DataLoader, Dataset
KIND, STEP_S = os.environ["KIND"], float(os.environ["STEP_MS"]) / 1000
class Plain(Dataset):
    def __len__(self):
        return 8000
    def __getitem__(self, index):
        time.sleep(0.0002)
        return {"x": torch.randn(16), "y": torch.tensor(index)}
late_s = 0.0  # a busy machine wakes us late: the next step is shorter by that, so that the mean is known
def train_step(batch):
    global late_s
    began = time.perf_counter()
    if KIND == "in place":
        batch.pop("y")
        batch["x"].mul_(2)
    left_s = STEP_S - late_s
    if KIND == "burn":
        while time.perf_counter() - began < left_s:
            pass
    else:
        time.sleep(max(0.0, left_s - (time.perf_counter() - began)))
    late_s += time.perf_counter() - began - STEP_S
dataset = Plain()
if __name__ == "__main__":
    for batch in DataLoader(dataset, 16):
        train_step(batch)
"""

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(0)]


@pytest.mark.parametrize("consumer", ["script", "training"])
@pytest.mark.parametrize(("kind", "step_ms"), [("sleep", 5.0), ("burn", 8.0), ("in place", 2.0), ("in place", 12.0), ("sleep", 20.0)])
def test_the_ceiling_agrees_with_arithmetic(tmp_path, kind, step_ms, consumer):
    script = write_script(tmp_path, SCRIPT)
    asked = request(
        script,
        (0,),
        batch_size=(BATCH_SIZE,),
        batches=BATCHES,
        consumer=Consumer(consumer),
        target="captured:0" if consumer == "training" else "dataset",
        ceiling=True,
        environment_variables={"KIND": kind, "STEP_MS": str(step_ms)},
    )
    sink = run_pool(asked)
    ceiling = judge(sink.run, sink.results).ceiling
    value, interval = ceiling.samples_per_second.value, ceiling.samples_per_second.ci95
    exact = BATCH_SIZE / step_ms * 1000
    name = f"{consumer}, {kind} {step_ms:g} ms"
    told = f"arithmetic {exact:7.1f}/s, ceiling {value:7.1f}/s, ratio {value / exact:.4f}"
    if interval is None:
        print(f"\n{name:<28} {told}, without an interval, as on a busy machine")
        return
    low, high = interval
    inside = "inside" if low <= exact <= high else "OUTSIDE"
    print(f"\n{name:<28} {told} ({low:.1f}–{high:.1f}), {inside}")
