"""Of a long training only the newest part is in memory: its figures are those of that part, its batches and waits those of all."""

import sqlite3

import pytest
import synthetic
from support_session import config_of
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.agent.messages import TrialOrder
from loaderscope.analysis.newest_part import forgotten_until_ns
from loaderscope.analysis.recorded_training import wait_seconds
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.facts.run import PlannedTrial
from loaderscope.session import trace_store
from loaderscope.session.schema import create
from loaderscope.session.trace_store import TraceWriter


@pytest.fixture(params=[0.9, 0.5])
def traces(request, monkeypatch):
    """The same training twice: all of it in memory, and with older spans forgotten, of workers alone or of main, too."""
    monkeypatch.setattr(trace_store, "ROWS_NEVER_FORGOTTEN", 50)
    monkeypatch.setattr("loaderscope.session.sums_table.ROWS_AT_ONCE", 1)
    whole, forgetful = (synthetic.make_trace(num_workers=2, batches=75, epochs=16, fetch_ns=8 * MS) for _ in range(2))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create(connection)
    writer = TraceWriter(connection, 0, forgetful)
    writer.write()
    writer.forget_stored_rows(round(request.param * forgetful.span_count))
    assert 0 < forgetful.span_count < 0.7 * whole.span_count
    assert (forgetful.forgotten_spans("main", State.WAIT).spans > 0) == (request.param == 0.5)
    yield whole, forgetful
    connection.close()


def analysed(traces):
    trial = PlannedTrial(0, 0, config_of(2))
    order, end = TrialOrder(0, "", trial.config, batches=None), TrialEnd("ok", None, None, 1.0, 0.0)
    return [analyse(trace, trial, order, end) for trace in traces]


def test_batches_and_waits_are_those_of_the_whole_training(traces):
    whole, forgetful = analysed(traces)
    assert forgetful.batches == whole.batches == 1200
    assert wait_seconds(traces[1], False) == pytest.approx(wait_seconds(traces[0], False))


def test_figures_are_those_of_the_part_in_memory_and_a_note_says_so(traces):
    whole, forgetful = analysed(traces)
    assert forgetful.wait_share == pytest.approx(whole.wait_share, abs=0.02)
    assert (whole.first_batch_s is None, forgetful.first_batch_s, forgetful.startup) == (False, None, None)
    assert len(forgetful.epochs) < len(whole.epochs)
    assert forgetful.epochs[0].first_batch_s is None
    assert forgetful.epochs[-1] == whole.epochs[-1]
    assert len(forgetful.notes) == len(whole.notes) + 1


def test_nothing_is_cut_where_nothing_was_forgotten(traces):
    assert forgotten_until_ns(traces[0]) is None
    assert forgotten_until_ns(traces[1]) > traces[0].origin_ns
