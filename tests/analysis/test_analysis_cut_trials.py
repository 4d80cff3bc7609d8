"""Trials that end at any moment in any process: there is a row of what is known of them, whatever is missing."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
import warnings

import cut_logs
import msgspec
import numpy as np
import pytest
import synthetic
from agent_interpreter import AGENT_PYTHON
from agents import DrivenAgent, write_into
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import reference_trace
from rows import config_of, measure_trace
from support_session import ENVIRONMENT
from synthetic import MS
from terminal_text import format_table

from loaderscope.agent.layout import COMPLETE, END, State, kind_of
from loaderscope.agent.messages import Consumer, ErrorInfo, Target, TrialConfig, TrialOrder, TrialOutcome
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.facts.request import Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import PlannedTrial, Run
from loaderscope.session.document import build_document
from loaderscope.session.value_checks import misfit
from loaderscope.sweep.pool import READ_INTERVAL_S
from loaderscope.sweep.processes.agent_process import AgentProcess
from loaderscope.sweep.trial_run import TrialRun, step_lane
from loaderscope.telemetry.sampler import Sampler
from loaderscope.trace.model import SeriesInfo, Trace
from loaderscope.trace.reader import TraceReader

BATCHES = 10
ALONE = config_of(0)

SCRIPT = """
import time
import torch
from torch.utils.data import Dataset
class Rows(Dataset):
    def __len__(self):
        return 400
    def __getitem__(self, index):
        time.sleep(0.0005)
        return torch.full((16,), float(index))
dataset = Rows()
"""

STEP = Consumer("sleep", 2.0)
REAL = {
    "no workers, 2 epochs": (config_of(0, batch_size=8), Consumer(), 2),
    "no workers, step": (config_of(0, batch_size=8), STEP, 1),
    "fork": (config_of(2, batch_size=8), Consumer(), 1),
    "fork, step, 2 epochs": (config_of(2, batch_size=8), STEP, 2),
    "persistent, step, 2 epochs": (config_of(2, batch_size=8, persistent_workers=True), STEP, 2),
    "spawn": (config_of(2, batch_size=8, start_method="spawn"), Consumer(), 1),
}
SIMULATED = {
    "device and pin thread": {"device_ns": 3 * MS, "transfer_ns": MS, "pin_ns": MS, "pin_cpu_ns": MS // 3, "start_method": "spawn"},
    "device without workers": {"num_workers": 0, "device_ns": MS, "sample_events": True},
    "fork server, out of order": {"num_workers": 3, "in_order": False, "start_method": "forkserver", "sample_events": True},
    "slow sample": {"num_workers": 3, "fetch_ns": lambda batch: 400 * MS if batch == 17 else 4 * MS},
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A whole trial, of which the processes' logs can be cut."""

    config: TrialConfig
    order: TrialOrder
    outcome: TrialOutcome
    logs: list[cut_logs.Log]
    series: list[tuple[SeriesInfo, dict]]


@pytest.fixture(scope="module")
def trials(tmp_path_factory) -> dict[str, Recorded]:
    folder = tmp_path_factory.mktemp("cut")
    script = write_into(folder, SCRIPT)
    agent = DrivenAgent(AgentProcess(AGENT_PYTHON, str(folder)), folder)
    try:
        agent.load(script)
        agent.attach("dataset")
        found = {name: run(agent, script, name, *what) for name, what in REAL.items()}
    finally:
        agent.process.close(at_once=True)
    return found | {name: simulated(folder / name, **scenario) for name, scenario in SIMULATED.items()}


def run(agent: DrivenAgent, script: pathlib.Path, name: str, config: TrialConfig, consumer: Consumer, epochs: int) -> Recorded:
    log_dir = agent.folder / name
    log_dir.mkdir()
    order = TrialOrder(0, str(log_dir), config, BATCHES, epochs, consumer=consumer)
    sampler, trace = Sampler(False), Trace()
    try:
        end = TrialRun(agent.process, order, trace, sampler, str(script), READ_INTERVAL_S).run(lambda grew: None)
    finally:
        sampler.close()
    assert end.status == "ok"
    sampled = [(info, columns.view()) for key, (info, columns) in trace.series.items() if "/" in key]
    return Recorded(config, order, end.outcome, cut_logs.read_logs(log_dir), sampled)


def simulated(folder: pathlib.Path, **scenario) -> Recorded:
    folder.mkdir()
    simulation = synthetic.simulate(batches=30, epochs=2, **scenario)
    end_ns = simulation.epochs[0][1]
    simulation.main.instant(end_ns + 1, State.EXACT_WINDOW, 0, 3)  # what comes behind it is not measured
    simulation.main.records.sort(key=lambda record: record.written_ns)
    synthetic.write_logs(simulation, folder)
    workers = scenario.get("num_workers", 2)
    changes = {"in_order": scenario.get("in_order", True), "start_method": scenario.get("start_method", "fork")} if workers else {}
    config = config_of(workers, **changes)
    outcome = TrialOutcome(1.0, 60, 60 * 32, [30, 30], False, False, None)
    return Recorded(config, TrialOrder(0, "", config, 30, 2), outcome, cut_logs.read_logs(folder), [])


def cut(trial: Recorded, draw) -> Trace:
    """The trace of what is left: each process ends at a record of its own, some left nothing, some records were never finished."""
    trace = Trace()
    with tempfile.TemporaryDirectory() as folder:
        for log in trial.logs:
            if draw(st.integers(0, 9)):
                lost = draw(st.lists(st.integers(0, max(len(log.records) - 1, 0)), max_size=3))
                log.write(pathlib.Path(folder), draw(st.integers(0, len(log.records))), lost)
        reader = TraceReader(folder, trace, trial.config.num_workers, step_lane(trial.order))
        reader.poll()
        if draw(st.booleans()):
            reader.finish()
        else:  # spans stay open
            reader._sources.close()
    for info, columns in trial.series:
        count = draw(st.integers(0, len(columns["time_ns"])))
        trace.series_of(info).append(**{name: column[:count] for name, column in columns.items()})
    return trace


def check_document(row: TrialResult, others: list[TrialResult], startup: bool) -> None:
    request = Request("/data/train.py", "dataset", startup=startup)
    target = Target("dataset", "dataset", "Rows", "variable", "map", 400)
    plan = [PlannedTrial(one.id, one.repeat, one.config) for one in [row, *others]]
    document = build_document(Run(request, ENVIRONMENT, target, "/data/train.py", None, plan), [row, *others])
    json.dumps(document, allow_nan=False)
    format_table(document, 100)


@pytest.fixture(scope="module")
def whole() -> TrialResult:
    """The row of another trial, of which nothing is lost."""
    return measure_trace(synthetic.make_trace(num_workers=2, batches=20), config_of(2), 20)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_is_left_of_a_trial_gives_a_row_that_can_be_stored_and_judged(trials, whole, data):
    trial = trials[data.draw(st.sampled_from(sorted(trials)))]
    trace = cut(trial, data.draw)
    status = data.draw(st.sampled_from(["failed", "killed", "timeout", "cancelled", "ok"]))
    outcome = data.draw(st.sampled_from([None, None, trial.outcome]))
    length = data.draw(st.sampled_from([None, 400, 1]))
    error = None if status == "ok" else ErrorInfo("ValueError", "It broke.")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # NumPy's, of a division by zero and what is no number
        row = analyse(
            trace, PlannedTrial(1, 0, trial.config), trial.order, TrialEnd(status, error, outcome, 1.0, 0.01), dataset_length=length
        )
        assert msgspec.json.decode(msgspec.json.encode(row), type=TrialResult) == row
        assert misfit(row, TrialResult) is None
        check_document(row, data.draw(st.sampled_from([[], [whole]])), data.draw(st.booleans()))


def read(folder: pathlib.Path) -> Trace:
    """The trace of logs whose processes have all ended."""
    trace = Trace()
    reader = TraceReader(folder, trace, 0)
    reader.poll()
    reader.finish()
    return trace


def test_a_first_next_that_never_brought_a_batch_tells_what_it_was_at(tmp_path):
    simulation = synthetic.simulate(num_workers=0, batches=20)
    main = simulation.main
    waits = next(row for row, record in enumerate(main.records) if record.state == State.WAIT)
    main.records, waited_ns = main.records[: waits + 1], main.records[waits].time_ns
    main.begin(waited_ns + 30 * MS, State.FETCH, 0, 32)
    main.end(waited_ns + 70 * MS, State.FETCH, 0, -1)
    synthetic.write_logs(simulation, tmp_path)
    row = analyse(read(tmp_path), PlannedTrial(0, 0, ALONE), TrialOrder(0, "", ALONE), TrialEnd("failed", None, None, 1.0, None))
    assert (row.batches, row.first_batch_s, row.startup.explained_share, row.startup.culprit) == (0, None, None, None)
    assert [(phase.phase, phase.seconds) for phase in row.startup.phases[-2:]] == [
        ("index_wait", pytest.approx(0.030)),
        ("first_fetch", pytest.approx(0.040)),
    ]


def test_a_shutdown_is_never_charged_to_the_way_to_the_first_batch():
    simulation = synthetic.simulate(num_workers=2, batches=20)
    main = simulation.main
    gone = [record for record in main.records if record.state == State.WAIT and record.a != -1]
    main.records = [record for record in main.records if record not in gone]
    end_ns = simulation.epochs[0][1]
    main.begin(simulation.epochs[0][0] + 40 * MS, State.WAIT, 0)
    main.end(end_ns - MS, State.WAIT, 0, 0)  # of all the waits one is told, and it ends behind the workers
    main.records.sort(key=lambda record: record.written_ns)
    startup = measure_trace(reference_trace(simulation), config_of(2), 20).startup
    assert "shutdown" in {phase.phase for phase in startup.phases}
    assert startup.culprit.phase != "shutdown"


def test_an_epoch_that_lost_records_fold_into_a_moment_leaves_the_devices_shares_unknown(tmp_path):
    synthetic.write_logs(synthetic.simulate(num_workers=0, batches=30, epochs=2, device_ns=MS), tmp_path)
    (log,) = cut_logs.read_logs(tmp_path)
    kind, number = log.records["kind"], log.records["a"]
    iterators = np.flatnonzero(kind == kind_of(State.ITERATOR, END))
    second_batch = np.flatnonzero((kind == kind_of(State.DEVICE_STEP, COMPLETE)) & (number == 1))
    log.write(tmp_path, len(log.records), [int(iterators[1]), int(second_batch[0])])
    row = analyse(read(tmp_path), PlannedTrial(0, 0, ALONE), TrialOrder(0, "", ALONE, 30, 2), TrialEnd("ok", None, None, 1.0, None))
    assert row.step_share > 0
    assert (row.gpu_busy_share, row.data_stall_share, row.gpu_other_idle_share) == (None, None, None)
