"""Session files: `pytest -m benchmark tests/benchmarks/bench_session.py -s`.

Ten million spans of eight workers and main, with times that jitter as real ones do, are written as the recorder writes them and
loaded again. Each figure is printed beside its budget; the best of three is taken, since a busy machine only adds time.
"""

import sqlite3
import time

import numpy as np
import pytest
import synthetic
from support_session import config_of, make_run

from loaderscope.agent.layout import State
from loaderscope.facts.run import PlannedTrial
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.trace import lane_table
from loaderscope.trace.model import Trace, batch_id

SPANS = 10_000_000
WORKERS = 8
ROUNDS = 3
WRITE_BUDGET, BYTES_BUDGET, LOAD_BUDGET_S = 3e6, 8.0, 1.0


def jittering_track(generator, states, count, stride, offset):
    """Columns of spans one after another, `states` in turn for each batch; durations spread like real ones."""
    kinds = np.tile(np.array(states), count // len(states) + 1)[:count]
    duration = generator.lognormal(12.5, 0.5, count).astype(np.int64)
    end = synthetic.START_NS + np.cumsum(duration + generator.exponential(3000, count).astype(np.int64))
    batch = batch_id(0, offset) + np.arange(count) // len(states) * stride
    value = np.where(kinds == State.FETCH, duration * 7 // 10, 0)
    return {"start_ns": end - duration, "end_ns": end, "state": kinds, "batch": batch, "value": value}


def big_trace():
    generator = np.random.default_rng(1)
    trace = Trace()
    each = SPANS // (WORKERS + 1)
    for worker in range(WORKERS):
        states = (State.INDEX_WAIT, State.FETCH, State.COLLATE, State.SEND)
        trace.track(lane_table.worker_lane(worker), 0).append(**jittering_track(generator, states, each, WORKERS, worker))
    trace.track(lane_table.MAIN_LANE, 0).append(**jittering_track(generator, (State.WAIT, State.STEP), SPANS - each * WORKERS, 1, 0))
    trace.origin_ns, trace.newest_ns = synthetic.START_NS, synthetic.START_NS + 3600 * synthetic.SECOND
    return trace


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_ten_million_spans_written_and_loaded(tmp_path):
    trace, trial = big_trace(), PlannedTrial(0, 0, config_of(WORKERS))
    path = tmp_path / "big.loaderscope"
    write_s, load_s = [], []
    for _ in range(ROUNDS):
        writer = SessionWriter(path, force=True)
        writer.run_started(make_run(workers=(WORKERS,)))
        writer.trial_started(trial, trace)
        began = time.perf_counter()
        writer._write_spans(writer._trials[0], final=True)
        write_s.append(time.perf_counter() - began)
        writer.close()
        with SessionFile.open(path) as session:
            began = time.perf_counter()
            loaded = session.trace(0)
            load_s.append(time.perf_counter() - began)
        assert loaded.span_count == SPANS
    rate, size = SPANS / min(write_s), path.stat().st_size / SPANS
    print(f"\nwritten: {rate / 1e6:.1f} M spans/s (budget: at least {WRITE_BUDGET / 1e6:.0f})")
    print(f"size: {size:.2f} bytes a span (budget: at most {BYTES_BUDGET:.0f})")
    connection = sqlite3.connect(path)
    ((sums_bytes,),) = connection.execute("SELECT sum(length(data)) FROM lane_sum")
    connection.close()
    print(f"of which sums: {sums_bytes / SPANS:.3f} bytes a span, {sums_bytes / path.stat().st_size:.1%}")
    print(f"load: {min(load_s):.2f} s for {SPANS / 1e6:.0f} M spans (budget: at most {LOAD_BUDGET_S:.0f} s)")
    assert rate >= WRITE_BUDGET
    assert size <= BYTES_BUDGET
    assert min(load_s) <= LOAD_BUDGET_S
