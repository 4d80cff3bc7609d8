"""A run with results and traces, as the pool would hand them to a sink."""

import numpy as np
import synthetic
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer, ErrorInfo, Target, TrialConfig, TrialOrder, TrialOutcome
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.facts.request import Axes, Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.facts.startup_results import SentPart
from loaderscope.trace import lane_table
from loaderscope.trace.model import SeriesInfo

ENVIRONMENT = {
    "platform": "Linux",
    "python": "3.11.9",
    "torch": "2.13.0",
    "cpu_count": 4,
    "usable_cpus": 4,
    "gpus": [],
    "default_start_method": "fork",
}

SENT = [
    SentPart("dataset", "dataset.paths", "list", 52_000_000, 1.5, 0.75, None),
    SentPart("collate_fn", "collate_fn", "function", 0, 0.0, None, "collate_fn is a lambda, which cannot be sent to a worker: move it."),
]


WINDOW = {
    "steps": 10,
    "seconds": 0.25,
    "busy_share": 0.63,
    "reason": None,
    "clock_error_s": 4e-6,
    "operators": [
        {"name": "aten::convolution", "calls": 30, "self_cpu_s": 0.01, "self_device_s": 0.12},
        {"name": "aten::relu_", "calls": 20, "self_cpu_s": 0.004, "self_device_s": 0.0},
    ],
}


def config_of(num_workers, **changes):
    if not num_workers:
        return TrialConfig(num_workers=0, batch_size=32)
    values = {"prefetch_factor": 2, "persistent_workers": False, "start_method": "fork", "in_order": True, "backend": "process"}
    return TrialConfig(num_workers=num_workers, batch_size=32, **{**values, **changes})


def make_run(workers=(0, 1, 2), **request):
    plan = [PlannedTrial(i, 0, config_of(count)) for i, count in enumerate(workers)]
    plan.append(PlannedTrial(len(plan), None, config_of(1, start_method="nonsense"), ("unsupported", "This system has no nonsense.")))
    wanted = Request("/data/träin.py", "make_dataset", axes=Axes(num_workers=tuple(workers)), consumer=Consumer("sleep", 2.0), **request)
    target = Target("make_dataset", "dataset", "Dataset", "function", "map", 6400, current=config_of(1), line=12)
    return Run(
        wanted, ENVIRONMENT, target, wanted.script, {"bytes": 1234, "structure": ["Tensor"]}, plan, SENT, created_unix_s=1_790_000_000
    )


def make_trial_trace(num_workers):
    trace = synthetic.make_trace(num_workers=num_workers, batches=60, epochs=2, sample_events=True, start_method="spawn")
    cpu = SeriesInfo("cpu/main", "cpu", "main", "%", process="main", window_ns=100 * MS)
    times = [trace.origin_ns + i * 100 * MS for i in range(10)]
    trace.series_of(cpu).append(time_ns=times, value=[i / 3 for i in range(10)])
    trace.unavailable["gpu"] = "No NVIDIA driver is installed."
    trace.notes.append("A note about this trial.")
    return trace


def add_dense_spans(trace, count=200_000):
    """Adds spans of some 0.1 ms to a track of their own; called again, more that follow them."""
    duration = np.random.default_rng(count).integers(80_000, 160_000, count)
    track = trace.track(lane_table.worker_lane(0), 7)
    end = (track.view()["end_ns"][-1] if len(track) else synthetic.START_NS) + np.cumsum(duration + 20_000)
    state = np.resize([State.FETCH, State.COLLATE, State.SEND], count)
    track.append(start_ns=end - duration, end_ns=end, state=state, batch=np.arange(count), value=np.zeros(count))
    trace.origin_ns = trace.origin_ns or synthetic.START_NS
    trace.newest_ns = max(trace.newest_ns, int(end[-1]))


def result_of(trial, trace, run):
    order = TrialOrder(trial.id, "", trial.config, batches=60, epochs=2, consumer=run.request.consumer)
    outcome = TrialOutcome(1.5, 120, 120 * 32, [60, 60], False, False, None, gpu_window=WINDOW)
    return analyse(trace, trial, order, TrialEnd("ok", None, outcome, 1.5, 0.01))


def record_results(sink, run, results):
    """Tells a sink about a whole run whose trials left no traces."""
    sink.run_started(run)
    for result in results:
        sink.trial_finished(result, None)
    sink.run_finished(cancelled=False)


def record(sink, run, traces=None):
    """Tells a sink about a whole run. Returns the results and the traces by trial."""
    traces = traces if traces is not None else {t.id: make_trial_trace(t.config.num_workers) for t in run.plan if t.skip is None}
    results = []
    sink.run_started(run)
    sink.log_line(LogLine(5, "stdout", "loading … \udcff ä", None))
    for trial in run.plan:
        if trial.skip is not None:
            result = TrialResult(trial.id, None, "skipped", trial.config, ErrorInfo(*trial.skip))
            results.append(result)
            sink.trial_finished(result, None)
            continue
        trace = traces[trial.id]
        sink.trial_started(trial, trace)
        sink.trace_grew(trial, trace)
        result = result_of(trial, trace, run)
        results.append(result)
        sink.trial_finished(result, trace)
        sink.log_line(LogLine(7, "loaderscope", "a trial is done", trial.id))
    sink.run_finished(cancelled=False)
    return results, traces
