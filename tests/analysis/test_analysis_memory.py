"""Memory peaks, reads from disk, signs of growth and the energy of GPUs."""

import numpy as np
import pytest
import synthetic
from rows import config_of, measure_trace
from synthetic import MS, SECOND

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import find_all
from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.memory_peaks import find_memory, forecast_bytes
from loaderscope.analysis.training import Training
from loaderscope.analysis.trial import disk_share
from loaderscope.facts.results import Memory, TrialResult, WorkerMemory
from loaderscope.trace.model import NO_GPU_USED, ProcessInfo, SeriesInfo, Trace

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


def test_what_main_shares_with_a_forked_worker_is_not_counted_twice():
    trace = Trace()
    trace.processes += [ProcessInfo("main", 1, 0), ProcessInfo("worker-0", 2, int(0.5 * SECOND))]
    add(trace, "pss/main", [0.1, 1.1, 2.1], [200, 120, 120])  # 160 of which it shares since the fork
    add(trace, "pss/worker-0", [0.6, 1.6, 2.6], [90, 90, 90])
    assert find_memory(trace).peak_total_bytes == 210  # at 0.6 s main's reading is of before the fork
    short = Trace()
    short.processes += trace.processes
    add(short, "pss/main", [0.1], [200])
    add(short, "pss/worker-0", [0.6], [90])
    assert find_memory(short).peak_total_bytes == 290  # all that there is


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


@pytest.mark.parametrize(("data_mib", "share"), [(0, None), (100, 0.1)])
def test_imports_of_starting_workers_are_no_reads_of_data(data_mib, share):
    """The worker reads 900 MiB from disk until its first fetch has ended, and then data of which a tenth comes from disk."""
    trace = synthetic.make_trace(num_workers=1, batches=100, startup_ns=8 * SECOND, step_ns=100 * MS, start_method="spawn")
    begin_s = trace.origin_ns / SECOND
    add(
        trace,
        "read_disk/worker-0",
        [begin_s + second for second in (1, 10, 13, 30)],
        [MIB * n for n in (200, 900, 900, 900 + data_mib / 10)],
    )
    add(trace, "read_cache/worker-0", [begin_s + second for second in (1, 10, 13, 30)], [0, 0, 0, MIB * data_mib * 0.9])
    assert measure_trace(trace, config_of(1), 100).disk_share == (None if share is None else pytest.approx(share))


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


def grown(seconds: int = 20, *, uss: float = 0.0, rss: float = 0.0, shared_dirty: float = 0.0, noise: float = 0.0) -> Memory:
    """Memory of a trial of 100 batches a second with two workers, that grow by so many MiB for 1,000 batches each."""
    return row_of_grown(seconds, uss, rss, shared_dirty, noise).memory


def row_of_grown(seconds: int, uss: float, rss: float, shared_dirty: float, noise: float = 0.0) -> TrialResult:
    trace = synthetic.make_trace(num_workers=2, batches=100 * seconds, step_ns=10 * MS, deserialise_ns=0, other_ns=0)
    random = np.random.default_rng(1)
    times = np.arange(1, seconds, 1.0)
    for worker in (0, 1):
        for kind, begin, slope in (("uss", 50, uss), ("rss", 250, rss), ("shared_dirty", 200, shared_dirty)):
            values = begin + slope * 0.1 * times + random.normal(0, noise, len(times))
            add(trace, f"{kind}/worker-{worker}", list(trace.origin_ns / SECOND + times + 0.1 * worker), list(values * MIB))
    return measure_trace(trace, config_of(2), 100 * seconds)


def test_growth_is_told_for_1000_batches_of_each_worker_and_of_all():
    memory = grown(uss=40, rss=40)
    for worker in memory.workers:
        assert worker.growth_bytes_per_1000_batches.value == pytest.approx(40 * MIB, rel=0.01)
    assert memory.growth_bytes_per_1000_batches.value == pytest.approx(80 * MIB, rel=0.01)
    assert memory.growth_reason is None


@pytest.mark.parametrize("slope", [0, 40])
def test_the_interval_of_growth_holds_what_is_true(slope):
    growth = grown(uss=slope, noise=3).growth_bytes_per_1000_batches
    low, high = growth.ci95
    assert low <= 2 * slope * MIB <= high
    assert high - low < 40 * MIB


def test_a_step_at_the_begin_is_no_growth():
    trace = synthetic.make_trace(num_workers=1, batches=2000, step_ns=10 * MS)
    add(trace, "uss/worker-0", [trace.origin_ns / SECOND + second for second in range(1, 19)], [50 * MIB] + [90 * MIB] * 17)
    assert measure_trace(trace, config_of(1), 2000).memory.growth_bytes_per_1000_batches.value == 0


def test_too_short_a_trial_has_no_growth_but_a_reason():
    memory = grown(seconds=4, uss=40)
    assert memory.growth_bytes_per_1000_batches is None
    assert "5 readings over 4 s" in memory.growth_reason


@pytest.mark.parametrize(
    ("slopes", "kind"),
    [
        ({"uss": 40, "rss": 0, "shared_dirty": -40}, "copy-on-write"),
        ({"uss": 40, "rss": 40}, "new"),
        ({"uss": 40, "rss": 38, "shared_dirty": -2}, "new"),
        ({"uss": 40}, None),  # shared pages stay: it is neither
        ({"uss": 0, "rss": 0, "shared_dirty": 0}, None),
        ({"uss": 0.1, "rss": 0, "shared_dirty": -0.1}, None),  # too little to matter
    ],
)
def test_pages_that_are_copied_are_told_from_memory_that_is_taken(slopes, kind):
    assert grown(**slopes).growth_kind == kind


@pytest.mark.parametrize(("slopes", "code"), [((0, -400), "copy-on-write"), ((400, 0), "memory-growth")])
def test_the_finding_says_which_growth_it_is(slopes, code):
    row = row_of_grown(20, 400, *slopes)
    context = Context([row], combine([row], Training(10)), None, None, None, Training(10))
    (finding,) = [finding for finding in find_all(context) if finding.code in ("memory-growth", "copy-on-write")]
    assert finding.code == code
    assert ("NumPy" in finding.advice) == (code == "copy-on-write")
    assert ("for 1,000 batches" in finding.message) == (code == "memory-growth")


def test_a_copy_that_came_with_the_start_is_told_as_one():
    def copies(start: int) -> str:
        workers = [WorkerMemory(worker, 900 * MIB, None, None, start * MIB) for worker in range(2)]
        row = TrialResult(0, 0, "ok", config_of(2, start_method="spawn"), memory=Memory(3000 * MIB, workers))
        context = Context([row], combine([row], Training(10)), None, None, None, Training(10))
        return next(finding.message for finding in find_all(context) if finding.code == "memory-multiplied")

    assert "a copy that the worker got when it started" in copies(880)
    assert "copy that" not in copies(100)


def test_more_workers_cost_what_those_measured_have_of_their_own():
    memory = Memory(1000, [WorkerMemory(0, 100, 150, 400), WorkerMemory(1, 120, 150, 400)])
    assert [forecast_bytes(memory, count) for count in (0, 2, 8)] == [780, 1000, 1660]
    assert forecast_bytes(Memory(1000, []), 8) is None
    assert forecast_bytes(Memory(None, memory.workers), 8) is None


def energy_of(watts: dict[str, float], seconds: int = 10, until_s: float = 99.0, **unavailable: str) -> TrialResult:
    """The row of a trial of 100 batches of 32 samples a second, with GPUs that take so much."""
    trace = synthetic.make_trace(num_workers=2, batches=100 * seconds, step_ns=10 * MS, deserialise_ns=0, other_ns=0)
    times = np.arange(0, min(seconds + 2, until_s), 1.0)
    for gpu, power in watts.items():
        for figure, values in (("energy", 5000 + power * times), ("memory", times)):
            if power or figure == "memory":
                columns = trace.series_of(SeriesInfo(f"{gpu}/{figure}", f"gpu_{figure}", "", "J"))
                columns.append(time_ns=[trace.origin_ns - SECOND // 2 + int(time * SECOND) for time in times], value=list(values))
    trace.unavailable.update(unavailable)
    return measure_trace(trace, config_of(2), 100 * seconds)


def test_energy_is_what_all_gpus_of_the_trial_take_for_1000_samples():
    assert energy_of({"gpu-0": 320}).energy_per_1000_samples_j == pytest.approx(100, rel=0.01)
    both = energy_of({"gpu-0": 320, "gpu-1": 160})
    assert both.energy_per_1000_samples_j == pytest.approx(150, rel=0.01)
    assert both.energy_reason is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (lambda: energy_of({}), "no GPU was sampled"),
        (lambda: energy_of({}, gpu="no NVIDIA driver"), "no NVIDIA driver"),
        (lambda: energy_of({"gpu-0": 320}, **{NO_GPU_USED: "all are shown"}), "uses no GPU"),
        (lambda: energy_of({"gpu-0": 0}, **{"gpu-0/energy": "this GPU does not report it"}), "does not report it"),
        (lambda: energy_of({"gpu-0": 320}, seconds=2), "shorter than 3 s"),
        (lambda: energy_of({"gpu-0": 320}, until_s=4, **{"gpu-0": "the GPU fell off the bus"}), "fell off the bus"),
        (lambda: energy_of({"gpu-0": -320}), "began anew"),
        (lambda: energy_of({"gpu-0-mig-1": 320}), "MIG"),
    ],
)
def test_energy_that_cannot_be_told_has_a_reason(row, words):
    row = row()
    assert row.energy_per_1000_samples_j is None
    assert words in row.energy_reason
