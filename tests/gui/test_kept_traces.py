"""How many traces stay in memory, and that those which did not are read again."""

import gc
import threading
import weakref

import numpy as np
import pytest
import support_session

from loaderscope.gui.run import run_state
from loaderscope.gui.run.live_run import GrowingSession
from loaderscope.gui.run.run_state import RunState, TraceCache
from loaderscope.session.file import SessionWriter
from loaderscope.session.recording import Recording
from loaderscope.trace.model import ForgottenSpans, Trace, TrackKey


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(run_state, "KEPT_TRACE_BYTES", 1)


def at_hand(state, trials):
    gc.collect()
    return [trial for trial in trials if not state.rows_to_read(trial)]


def run_of(path, writer_of=SessionWriter):
    """A sink into a session file that is still written, and the live state."""
    stored = GrowingSession(path)
    state = RunState(stored)
    return Recording(lambda: writer_of(path), state, is_required=False, on_stored=state.mark_stored), state, stored


def test_traces_that_were_looked_at_stay_as_long_as_there_is_room(window, session):
    window.open_path(str(session))
    for trial in (0, 1, 2):
        window.shown.choose_trial(trial)
    assert at_hand(window.shown.state, (0, 1, 2)) == [0, 1, 2]


def test_of_a_session_only_what_is_shown_and_compared_stays_where_memory_is_short(little_memory, qtbot, window, session):
    window.open_path(str(session))
    first = weakref.ref(window.shown.state.trace(1))
    shown = []
    for trial in (1, 2, 0):
        window.shown.choose_trial(trial)
        shown.append(window.views.timeline.scene.trace.span_count)
    qtbot.waitUntil(lambda: at_hand(window.shown.state, (0, 1, 2)) == [0], timeout=10_000)  # late batches are looked for in a thread
    assert first() is None
    window.shown.choose_trial(1)
    assert window.views.timeline.scene.trace.span_count == shown[0]
    window.shown.comparison.choose(2)
    compared = window.views.pair.second.scene.trace
    window.shown.choose_trial(0)
    window.shown.choose_trial(1)
    qtbot.waitUntil(lambda: at_hand(window.shown.state, (0, 1, 2)) == [1, 2], timeout=10_000)
    assert window.shown.state.trace(2) is compared


def test_finished_trials_of_a_sweep_are_read_from_its_file_while_it_is_written(little_memory, tmp_path):
    path, run = tmp_path / "running.loaderscope", support_session.make_run()
    sink, state, _ = run_of(path)
    expected = support_session.make_trial_trace(0)
    _, traces = support_session.record(sink, run)  # and it is not closed yet
    del traces
    assert at_hand(state, (0, 1, 2)) == [2]
    found = state.trace(0)
    assert list(found.tracks) == list(expected.tracks)
    for key, columns in expected.tracks.items():
        for name, values in columns.view().items():
            np.testing.assert_array_equal(found.tracks[key].view()[name], values)
    sink.close()
    assert sink.write_error is None


def test_the_trial_that_runs_is_never_let_go(little_memory, tmp_path):
    run = support_session.make_run()
    sink, state, _ = run_of(tmp_path / "running.loaderscope")
    sink.run_started(run)
    sink.trial_started(run.plan[0], support_session.make_trial_trace(0))
    running = weakref.ref(state.trace(0))
    sink.trial_started(run.plan[1], support_session.make_trial_trace(1))
    state.trace(1)
    gc.collect()
    assert state.trace(0) is running()
    sink.close()


def test_what_could_not_be_written_stays(little_memory, tmp_path):
    class FullDisk(SessionWriter):
        problem = property(lambda self: "The disk is full.", lambda self, value: None)

    sink, state, _ = run_of(tmp_path / "full.loaderscope", FullDisk)
    support_session.record(sink, support_session.make_run())
    assert at_hand(state, (0, 1, 2)) == [0, 1, 2]
    assert state.trace(0).span_count
    sink.close()


def test_the_file_is_completed_when_nobody_reads_it(tmp_path):
    path = tmp_path / "read.loaderscope"
    sink, _, stored = run_of(path)
    support_session.record(sink, support_session.make_run())
    asked, completed = threading.Event(), []

    def complete():
        asked.set()
        with stored.without_readers():
            completed.append(sink.close())

    thread = threading.Thread(target=complete)
    with stored._open_for_reading() as file:
        thread.start()
        assert asked.wait(10)
        assert file.trace(1).span_count and not completed
    thread.join(10)
    assert completed and sink.write_error is None
    assert stored.trace(1).span_count
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_trace_that_forgot_spans_is_dropped_once_the_file_has_it():
    cache, whole, forgetful = TraceCache(), Trace(), Trace()
    forgetful.forgotten[TrackKey("main", 0), 1] = ForgottenSpans(5, 5, 5)
    for trial, trace in enumerate((whole, forgetful)):
        cache.keep(trial, trace)
        assert trial in cache
        cache.mark_stored(trial)
    assert cache.find(0) is whole
    assert cache.find(1) is None
