"""What one record costs, against its budget: `pytest -m benchmark tests/benchmarks/bench_record.py -s`."""

import statistics
import time

import pytest

from loaderscope.agent import eventlog, layout
from loaderscope.agent.layout import Role, State

BUDGET_NS = 1000
KIND = (State.INDEX_PUT << layout.FORM_BITS) | layout.INSTANT
ROUNDS = 15
RECORDS = layout.SEGMENT_RECORDS  # so that each round makes one segment and touches all its pages


@pytest.mark.benchmark
def test_cost_of_one_record(tmp_path):
    log = eventlog.EventLog(str(tmp_path), Role.MAIN)
    write, costs_ns = log.write, []
    for _ in range(ROUNDS):
        begin_ns = time.perf_counter_ns()
        for number in range(RECORDS):
            write(KIND, number, 1)
        costs_ns.append((time.perf_counter_ns() - begin_ns) / RECORDS)
    log.close()
    median_ns = statistics.median(costs_ns)
    print(f"\none record, new segments and first touch included: {median_ns:.0f} ns (budget {BUDGET_NS} ns; best {min(costs_ns):.0f} ns)")
    assert median_ns < 3 * BUDGET_NS, "far beyond the budget: broken, not just a busy machine"
