"""What fetches spend their time on: read from traces, and what findings say of it and must not say."""

import pytest
import synthetic
from rows import config_of, made_up, measure_trace
from synthetic import MS

from loaderscope.agent.messages import Consumer, TrialOutcome
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.epochs import read_epochs
from loaderscope.analysis.fetch_use import find_fetch_use
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.steady import find_steady
from loaderscope.analysis.training import Training
from loaderscope.facts.evidence import FetchUse, LaneSpan, ProcessBeside, Signs
from loaderscope.facts.lanes import BESIDE_SERIES, WORKERS_AFFINITY_SERIES
from loaderscope.facts.thread_waits import ThreadWait, wait_in
from loaderscope.trace.model import SeriesInfo

SERVER = ProcessBeside("SyncManager-1 (process 77)", 0.9)
CODES = {"cpu-bound", "io-bound", "lock-bound"}


# reading a trace


def trace_with(series, workers=2, **scenario):
    """A trial of about a second; `series`: values by key, or functions of the time in ns, sampled every 10 ms."""
    trace = synthetic.make_trace(num_workers=workers, batches=100, fetch_ns=18 * MS, collate_ns=1 * MS, step_ns=1 * MS, **scenario)
    for key, value in series.items():
        columns = trace.series_of(SeriesInfo(key, key.partition("/")[0], key, "", f"name of {key}"))
        for hundredth in range(1, 110):
            time_ns = trace.origin_ns + hundredth * 10 * MS
            columns.append(time_ns=time_ns, value=value(time_ns) if callable(value) else value)
    return trace


def use_in(trace, workers=2, **child_names):
    return find_fetch_use(trace, find_steady(trace, read_epochs(trace), config_of(workers)), child_names)


def test_only_looks_within_a_fetch_tell_what_it_waits_for():
    trace = trace_with({}, fetch_cpu_share=0.1)
    fetches = [(int(view["start_ns"][row]), int(view["end_ns"][row])) for view, row in _fetch_rows(trace, "worker-0")]

    def wait(time_ns):
        return ThreadWait.PROCESS if any(low <= time_ns < high for low, high in fetches) else ThreadWait.SLEEP

    trace = trace_with({"waits_for/worker-0": wait})
    use = use_in(trace)
    assert use.waits == {"process": 1.0}
    assert 50 < use.looks < 109
    assert use.fetch_share == pytest.approx(18 / 19.1, abs=0.02)
    assert {fetch.lane for fetch in use.longest} <= {"worker-0", "worker-1"}
    assert all(fetch.seconds == pytest.approx(0.018) and 0 < fetch.start_s < 2 for fetch in use.longest)


def _fetch_rows(trace, lane):
    for key, columns in trace.tracks.items():
        if key.lane == lane:
            view = columns.view()
            yield from ((view, row) for row in range(len(columns)) if view["state"][row] == synthetic.State.FETCH)


def test_a_process_beside_the_workers_has_its_own_name_and_a_worker_is_none():
    worker_pid = next(process.pid for process in trace_with({}).processes if process.name == "worker-0")
    trace = trace_with({f"{BESIDE_SERIES}-77": 90.0, f"{BESIDE_SERIES}-78": 10.0, f"{BESIDE_SERIES}-{worker_pid}": 100.0})
    found = use_in(trace, **{"77": "SyncManager-1"}).beside
    assert [(process.name, process.cores) for process in found] == [
        ("SyncManager-1 (process 77)", pytest.approx(0.9)),
        (f"name of {BESIDE_SERIES}-78", pytest.approx(0.1)),
    ]


def test_the_thread_that_sends_is_no_thread_of_a_library():
    sending = {"other_threads/worker-0": 20.0, "other_threads/worker-1": 20.0}
    storm = {"other_threads/worker-0": 90.0, "other_threads/worker-1": 90.0}
    assert use_in(trace_with(sending, send_ns=6 * MS)).other_threads_cores == pytest.approx(0.0, abs=0.01)
    assert use_in(trace_with(storm)).other_threads_cores == pytest.approx(1.8, abs=0.02)
    assert use_in(trace_with({"other_threads/worker-0": 90.0})).other_threads_cores is None  # not both were read


def test_a_trial_carries_what_its_fetches_spend_their_time_on():
    trace = trace_with({WORKERS_AFFINITY_SERIES: 1, "cpu/worker-0": 60.0, "cpu/worker-1": 40.0})
    use = measure_trace(trace, config_of(2), 100).signs.fetch_use
    assert (use.allowed_cores, use.worker_cores, use.looks, use.waits) == (1, pytest.approx(1.0), 0, {})
    assert TrialOutcome.from_json(TrialOutcome(1.0, 1, 1, [1], False, False, None).to_json()).child_names == {}


@pytest.mark.parametrize(
    ("function", "wait"),
    [
        ("0", ThreadWait.NOTHING),
        ("futex_do_wait", ThreadWait.LOCK),
        ("futex_wait_queue_me", ThreadWait.LOCK),
        ("locks_lock_inode_wait", ThreadWait.FILE_LOCK),
        ("unix_stream_read_generic", ThreadWait.PROCESS),
        ("anon_pipe_read", ThreadWait.PROCESS),
        ("folio_wait_bit_common", ThreadWait.DISK),
        ("hrtimer_nanosleep", ThreadWait.SLEEP),
        ("do_poll.constprop.0", ThreadWait.OTHER),
        ("wait_woken", ThreadWait.OTHER),
    ],
)
def test_a_function_of_the_kernel_tells_the_kind_of_wait(function, wait):
    assert wait_in(function) == wait


# findings


def trial(number, workers, rate, *, cpu=0.1, fetch_s=0.05, waits=None, beside=(), fetch_share=0.95, looks=100, **fields):
    use = FetchUse(
        fetch_share=fetch_share,
        looks=looks,
        waits=waits or {},
        beside=list(beside),
        longest=[LaneSpan("worker-0", 1.5, 0.2)],
    )
    signs = Signs(fetch_s=fetch_s, fetch_cpu_share=cpu, fetch_use=use)
    return made_up(number, config_of(workers), rate, signs=signs, **{"wait_share": 0.9, "step_share": 0.1, "other_share": 0.0} | fields)


def found(*trials, current=None, consumer=None, usable_cpus=2, codes=CODES):
    settings = combine(trials, Training(10))
    context = Context(list(trials), settings, None, current, consumer, Training(10), usable_cpus=usable_cpus)
    return {finding.code: finding for finding in find_all(context) if finding.code in codes}


def test_a_process_that_all_workers_ask_is_named_with_its_gain():
    (finding,) = found(trial(0, 2, 100, waits={"process": 0.7}, beside=[SERVER])).values()
    assert (finding.code, finding.severity, finding.trials) == ("lock-bound", "warning", [0])
    assert finding.evidence["process"] == SERVER.name
    assert finding.gain_s.value == pytest.approx(0.9 * 0.7 * 3200)
    assert finding.gain_s.ci95[0] < finding.gain_s.value < finding.gain_s.ci95[1]
    assert [(place.trial, place.lane, place.start_s, place.seconds) for place in finding.places] == [(0, "worker-0", 1.5, 0.2)]
    assert finding.change


@pytest.mark.parametrize(
    "changes",
    [
        {"beside": []},  # nobody is seen to serve
        {"beside": [ProcessBeside("logger", 0.1)]},  # it hardly computes
        {"waits": {"sleep": 0.7}},
        {"waits": {"other": 0.7}},  # the network, perhaps
        {"waits": {"process": 0.1}},
        {"looks": 10},
        {"cpu": 0.95},
        {"fetch_share": 0.2},  # workers are idle: main is the limit
    ],
)
def test_waiting_that_is_not_proven_to_be_for_another_process_is_not_called_so(changes):
    plain = {"waits": {"process": 0.7}, "beside": [SERVER]}
    assert "lock-bound" not in found(trial(0, 2, 100, **plain | changes))


def locked(number, workers, rate, fetch_s, **fields):
    return trial(number, workers, rate, cpu=1 / workers, fetch_s=fetch_s, waits={"lock": 1 - 1 / workers}, **fields)


def test_a_lock_is_told_where_workers_take_turns():
    findings = found(locked(0, 1, 100, 0.05), locked(1, 2, 104, 0.1), locked(2, 4, 101, 0.2))
    assert set(findings) == {"lock-bound"}
    assert findings["lock-bound"].trials == [2]
    assert findings["lock-bound"].evidence["throughput_ratio"] == pytest.approx(1.01)
    assert findings["lock-bound"].severity == "info"


def test_a_lock_that_costs_little_or_a_pool_of_threads_is_no_lock_bound():
    assert found(locked(0, 1, 100, 0.05), locked(1, 2, 190, 0.05)) == {}  # throughput rises with the workers
    assert found(locked(0, 2, 100, 0.05)) == {}  # nothing to compare with: it may wait for threads of its own
    assert found(locked(0, 1, 100, 0.05), locked(1, 2, 104, 0.05)) == {}  # a fetch takes no longer: something else is the limit


def test_a_lock_of_a_file_needs_no_comparison():
    assert set(found(trial(0, 2, 100, waits={"file_lock": 0.5}))) == {"lock-bound"}


def test_fetches_that_compute_are_information_whatever_the_subject():
    (finding,) = found(trial(0, 2, 100, cpu=0.95)).values()
    assert (finding.code, finding.severity) == ("cpu-bound", "info")
    assert finding.evidence["fetch_cpu_share"] == 0.95
    assert found(trial(0, 2, 100, cpu=0.5)) == {}


def test_fetches_that_wait_for_the_disk_are_told_with_its_bytes():
    (finding,) = found(trial(0, 2, 100, waits={"disk": 0.6}, disk_share=0.8)).values()
    assert (finding.code, finding.severity, finding.evidence["disk_share"]) == ("io-bound", "info", 0.8)
    assert found(trial(0, 2, 100, waits={"disk": 0.6}, disk_share=0.01)) == {}
    assert found(trial(0, 2, 100, waits={"sleep": 0.9}, disk_share=0.01)) == {}  # a slow disk that somebody simulates


def test_nothing_is_said_of_fetches_that_the_training_does_not_wait_for():
    busy = {"cpu": 0.95, "wait_share": 0.02, "step_share": 0.98}
    assert found(trial(0, 2, 100, **busy), consumer=Consumer("sleep", 5.0)) == {}
    assert set(found(trial(0, 2, 100, **busy), consumer=Consumer("none"))) == {"cpu-bound"}


def test_input_bound_does_not_advise_workers_where_they_share_the_limit():
    shared = found(trial(0, 2, 100, waits={"process": 0.7}, beside=[SERVER]), codes={"input-bound"})["input-bound"]
    waiting = found(trial(0, 2, 100, waits={"sleep": 0.7}), codes={"input-bound"})["input-bound"]
    assert "more workers" not in shared.advice
    assert "more workers" in waiting.advice
