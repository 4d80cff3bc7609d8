"""Warnings in the logs of a trial's processes: counted by process and text, and apart from all else that was recorded."""

import numpy as np
import pytest

from loaderscope.agent import eventlog
from loaderscope.agent.layout import FORM_BITS, INSTANT, NO_NAME, REST, THREAD_WORKER_BASE, Role, State, warning_name
from loaderscope.trace.model import Trace
from loaderscope.trace.reader import TraceReader

WARNED = State.WARNED << FORM_BITS | INSTANT
SAMPLE = State.SAMPLE << FORM_BITS | INSTANT


@pytest.fixture
def log_dir(tmp_path):
    return tmp_path


@pytest.fixture
def open_log(log_dir):
    return lambda role=Role.MAIN, worker=None: eventlog.EventLog(str(log_dir), role, worker)


def name(log, text, kind="UserWarning", place="train.py:3"):
    number = log.add_name(warning_name(kind, place, text))
    log.flush_names()
    return number


def read(log_dir):
    trace = Trace()
    TraceReader(log_dir, trace).finish()
    return trace


def counts(trace):
    return {(row.process, row.kind, row.text): row.count for row in trace.warned}


def test_equal_ones_of_a_worker_add_up_over_the_processes_of_its_epochs(log_dir, open_log):
    for times in (2, 3):
        log = open_log(Role.WORKER, 1)
        number = name(log, "again")
        for _ in range(times):
            log.write(WARNED, number)
        log.close()
    assert counts(read(log_dir)) == {("worker-1", "UserWarning", "again"): 5}


def test_they_stand_in_the_order_in_which_they_were_said_first(log_dir, open_log):
    worker, main = open_log(Role.WORKER, 0), open_log()
    for log, number, time_ns in (
        (main, name(main, "second"), 20),
        (worker, name(worker, "first"), 10),
        (worker, name(worker, "third"), 30),
    ):
        log.write_at(time_ns, WARNED, number)
        log.write_at(time_ns + 100, WARNED, number)
    trace = read(log_dir)
    assert [row.text for row in trace.warned] == ["first", "second", "third"]
    assert [row.first_ns for row in trace.warned] == [10, 20, 30]


def test_a_thread_of_main_that_is_a_worker_is_told_as_that_worker(log_dir, open_log):
    log = open_log()
    number = name(log, "of a thread")
    log.write(WARNED, number, 0, THREAD_WORKER_BASE + 3)
    log.write(WARNED, number)
    assert {process for process, _, _ in counts(read(log_dir))} == {"worker-3", "main"}


def test_a_text_that_was_not_kept_is_counted_all_the_same(log_dir, open_log):
    log = open_log()
    log.write(WARNED, NO_NAME)
    log.write(WARNED, 77)
    assert counts(read(log_dir)) == {("main", "Warning", REST): 2}


def test_a_name_that_comes_after_its_record_is_found_at_the_next_look(log_dir, open_log):
    log = open_log()
    number = log.add_name(warning_name("ERROR", "", "late"))
    log.write(WARNED, number)
    trace = Trace()
    reader = TraceReader(log_dir, trace)
    reader.poll()
    assert [row.text for row in trace.warned] == [REST]
    log.flush_names()
    reader.poll()
    reader.finish()
    assert counts(trace) == {("main", "ERROR", "late"): 1}


def test_a_warning_within_a_sample_does_not_end_it(log_dir, open_log):
    log = open_log(Role.WORKER, 0)
    number = name(log, "slow")
    for index in (7, 8):
        log.write(SAMPLE, index, 0)
        log.write(WARNED, number)
    view = read(log_dir).points["worker-0"].view()
    np.testing.assert_array_equal(view["state"], [State.SAMPLE, State.SAMPLE])
    np.testing.assert_array_equal(view["value"], [7, 8])
