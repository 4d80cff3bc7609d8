"""Memory peaks, reads from disk, and signs of growth."""

import pytest
import synthetic
from rows import config_of, measure_trace
from synthetic import MS, SECOND

from loaderscope.analysis.memory import find_memory
from loaderscope.analysis.reads import disk_share
from loaderscope.trace.model import ProcessInfo, SeriesInfo, Trace

MIB = 1 << 20


def add(trace: Trace, key: str, times_s: list[float], values: list[float]) -> None:
    columns = trace.series_of(SeriesInfo(key, "memory", key, "bytes", key.partition("/")[2]))
    columns.append(time_ns=[int(time_s * SECOND) for time_s in times_s], value=values)


def test_the_total_is_the_largest_sum_at_one_time():
    trace = Trace()
    add(trace, "pss/main", [0, 1, 2, 3], [100, 300, 100, 100])
    add(trace, "pss/worker-0", [0.1, 1.1, 2.1, 3.1], [10, 10, 150, 10])
    add(trace, "pss/worker-1", [0.2, 1.2, 2.2, 3.2], [10, 10, 150, 10])
    memory = find_memory(trace)
    assert memory.peak_total_bytes == 400  # not 600, the sum of peaks at different times
    assert [worker.peak_pss_bytes for worker in memory.workers] == [150, 150]
    assert [worker.peak_uss_bytes for worker in memory.workers] == [None, None]


def test_a_process_that_is_gone_counts_no_more():
    trace = Trace()
    add(trace, "pss/main", list(range(12)), [100] * 11 + [200])
    add(trace, "pss/worker-0", [0, 1, 2], [150, 150, 150])
    assert find_memory(trace).peak_total_bytes == 250


def test_there_is_no_total_without_a_worker_that_was_gone_too_soon():
    trace = Trace()
    trace.processes += [ProcessInfo("main", 1, 0), ProcessInfo("worker-0", 2, 0)]
    add(trace, "pss/main", [0, 1], [100, 120])
    assert find_memory(trace) is None
    add(trace, "pss/worker-0", [0.5], [30])
    assert find_memory(trace).peak_total_bytes == 150


def test_private_bytes_stand_in_where_there_is_no_pss():
    trace = Trace()
    for name in ("main", "worker-0"):
        add(trace, f"private/{name}", [0, 1], [100, 120])
        add(trace, f"rss/{name}", [0, 1], [1000, 1000])
    memory = find_memory(trace)
    assert memory.peak_total_bytes == 240
    assert memory.workers[0].peak_rss_bytes == 1000


def test_rss_is_never_summed():
    trace = Trace()
    add(trace, "rss/main", [0], [100])
    add(trace, "rss/worker-0", [0], [100])
    assert find_memory(trace).peak_total_bytes is None


def test_nothing_sampled_is_unknown():
    assert find_memory(Trace()) is None
    assert disk_share(Trace()) is None


def test_the_share_of_reads_from_disk():
    trace = Trace()
    for name in ("main", "worker-0"):
        add(trace, f"read_disk/{name}", [0, 1, 2], [0, 2 * MIB, 3 * MIB])
        add(trace, f"read_cache/{name}", [0, 1, 2], [0, 1 * MIB, 9 * MIB])
    assert disk_share(trace) == pytest.approx(0.25)


def test_growth_is_the_slope_of_the_workers_private_memory():
    trace = synthetic.make_trace(num_workers=2, batches=1000, step_ns=10 * MS)
    begin_s = trace.origin_ns / SECOND
    for worker in (0, 1):
        times = [begin_s + second for second in range(1, 11)]
        add(trace, f"uss/worker-{worker}", times, [(50 + 3 * second) * MIB for second in range(10)])
    assert measure_trace(trace, config_of(2), 1000).signs.growth_bytes_per_s == pytest.approx(6 * MIB)


def test_what_workers_import_at_the_begin_of_every_epoch_is_no_growth():
    trace = synthetic.make_trace(num_workers=1, batches=1000, epochs=2, startup_ns=8 * SECOND, step_ns=10 * MS, start_method="spawn")
    begin_s = trace.origin_ns / SECOND
    seconds = list(range(36))
    sizes = [min(150, 20 * (second % 18)) * MIB for second in seconds]  # 8 s of imports, then 10 s at one level, twice
    add(trace, "uss/worker-0", [begin_s + second + 0.5 for second in seconds], sizes)
    assert measure_trace(trace, config_of(1), 1000, 2).signs.growth_bytes_per_s == pytest.approx(0, abs=1)
