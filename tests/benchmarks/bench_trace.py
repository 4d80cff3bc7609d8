"""What recording costs a training: `pytest -m benchmark -s tests/benchmarks/bench_trace.py` (about 5 minutes).

A small real model trains on the photographs, plain and recorded in turn, which first is drawn for each pair; the script itself takes
the time of its epochs. Printed beside its budget: what the training's processes spend on records, by count times the cost of one
record; the app's processor time; and the interval of the median ratio of the pairs, which must exclude a loss above 3 %.
"""

import dataclasses
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

import pytest
from running import CollectingSink, request, write_script

from loaderscope.agent import eventlog, layout
from loaderscope.agent.layout import Role, State
from loaderscope.resource_files import resource_folder
from loaderscope.sweep.training_run import TrainingRun

PAIRS = 12
COUNTED_BUDGET, APP_BUDGET, LOSS_BUDGET = 0.01, 0.05, 0.03
RECORDS = 100_000

SCRIPT = """
    import os, sys, time
    sys.path.insert(0, os.environ["EXAMPLES"])
    import torch
    from photos import Photos
    from torch import nn
    from torch.utils.data import DataLoader
    from train_photos import make_model

    def main():
        torch.manual_seed(0)
        torch.set_num_threads(1)
        photos = Photos(length=256)
        loader = DataLoader(photos, batch_size=16, shuffle=True, num_workers=int(sys.argv[1]), persistent_workers=sys.argv[1] != "0")
        model = make_model(len(photos.paths))
        optimizer = torch.optim.AdamW(model.parameters())
        for epoch in range(3):
            if epoch == 1:  # the first epoch starts the workers and warms up
                began_s = time.perf_counter()
            for images, labels in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images), labels).backward()
                optimizer.step()
        with open(sys.argv[2], "w") as file:
            file.write(str(time.perf_counter() - began_s))

    if __name__ == "__main__":
        main()
"""

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(0)]


def record_seconds(folder: pathlib.Path) -> float:
    """What one record takes."""
    log = eventlog.EventLog(str(folder), Role.MAIN)
    kind = (State.INDEX_PUT << layout.FORM_BITS) | layout.INSTANT
    began_s = time.perf_counter()
    for number in range(RECORDS):
        log.write(kind, number, 1)
    seconds = (time.perf_counter() - began_s) / RECORDS
    log.close()
    return seconds


def interval_of_median(values: "list[float]") -> "tuple[float, float]":
    """The order statistics that hold the median with about 95 % (binomial, normal approximation)."""
    ordered, half = sorted(values), 0.98 * len(values) ** 0.5
    return ordered[max(round(len(ordered) / 2 - half) - 1, 0)], ordered[min(round(len(ordered) / 2 + half), len(ordered) - 1)]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_a_recording_costs(tmp_path, workers, monkeypatch):
    monkeypatch.setenv("EXAMPLES", str(resource_folder() / "examples"))
    script, seconds_file = write_script(tmp_path, SCRIPT), tmp_path / "seconds"
    record_s = record_seconds(tmp_path)
    counted, app_shares = [], []

    def plain() -> float:
        subprocess.run([sys.executable, str(script), workers, str(seconds_file)], check=True, env=os.environ)
        return float(seconds_file.read_text())

    def recorded() -> float:
        sink = CollectingSink()
        asked = dataclasses.replace(request(script), script_args=(workers, str(seconds_file)))
        assert TrainingRun(asked, sink).run() == 0
        (result,) = sink.results
        counted.append(sink.traces[result.id].record_count * record_s / result.loader.training_s)
        app_shares.append(result.own_cost.app_cpu_share)
        return float(seconds_file.read_text())

    plain()  # what is read lazily is read
    ratios = []
    for _ in range(PAIRS):
        first_is_plain = random.random() < 0.5
        seconds = {is_plain: (plain if is_plain else recorded)() for is_plain in (first_is_plain, not first_is_plain)}
        ratios.append(seconds[False] / seconds[True] - 1)
    low, high = interval_of_median(ratios)
    print(f"\n{workers} workers, {PAIRS} pairs")
    print(f"  records: {statistics.median(counted):.4%} of the wall time of the training (budget {COUNTED_BUDGET:.0%})")
    print(f"  app: {statistics.median(app_shares):.1%} of one core (budget {APP_BUDGET:.0%})")
    print(f"  time lost: {statistics.median(ratios):+.1%}, interval {low:+.1%} to {high:+.1%} (must exclude {LOSS_BUDGET:+.0%} and more)")
    assert statistics.median(counted) < 3 * COUNTED_BUDGET, "far beyond the budget: broken, not just a busy machine"
