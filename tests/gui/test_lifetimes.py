"""What ends while something else still goes on: sweeps, threads that read, texts that are being written."""

import threading

import pytest
import shiboken6
import support_session
import synthetic
from PySide6.QtTest import QTest
from running import write_script
from timeline_actions import Key, Modifier, press

from loaderscope.facts.request import Axes, Request
from loaderscope.facts.run import Mark
from loaderscope.gui.run import background_work, live_run
from loaderscope.gui.run.background_work import Jobs
from loaderscope.gui.run.live_run import LiveRun
from loaderscope.gui.run.run_state import RunState
from loaderscope.gui.timeline.widget import navigable_timeline
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.session.file import SessionError, SessionFile, SessionWriter
from loaderscope.session.recording import Recording


@pytest.fixture
def empty_request(tmp_path):
    """A request that ends within moments: its script offers nothing."""
    return Request(script=str(write_script(tmp_path, "x = 1\n")), axes=Axes(num_workers=(0,)), probe=False)


class _WaitingPool:
    """A pool that waits until it is cancelled."""

    def __init__(self, request, sink, **options):
        self._cancelled = threading.Event()
        self.cancel = self._cancelled.set

    def run(self):
        assert self._cancelled.wait(10)


class _OneTrialPool(_WaitingPool):
    """A pool whose first trial goes on until it is cancelled."""

    def __init__(self, request, sink, **options):
        super().__init__(request, sink, **options)
        self._sink = sink

    def run(self):
        run = support_session.make_run()
        self._sink.run_started(run)
        self._sink.trial_started(run.plan[1], synthetic.make_trace(num_workers=1))
        while not self._cancelled.wait(0.02):
            self._sink.progress(0, 3, None)


@pytest.fixture
def start(window, monkeypatch, empty_request):
    """Starts a sweep in the window, of a pool of the given class."""

    def start(pool):
        monkeypatch.setattr(live_run, "Pool", pool)
        monkeypatch.setattr(type(window.setup), "sweep_problem", "")
        monkeypatch.setattr(window.setup, "request", lambda: empty_request)
        window.starting.sweep()
        return window.live._thread

    return start


def test_marks_set_during_a_sweep_are_in_its_file_within_a_second(tmp_path):
    path, run = tmp_path / "running.loaderscope", support_session.make_run()
    sink = Recording(lambda: SessionWriter(path), RunState(), is_required=False)
    sink.run_started(run)
    sink.trial_started(run.plan[0], synthetic.make_trace())
    setting = threading.Thread(target=sink.set_marks, args=(0, [Mark(5, "early"), Mark(9, "späť")]))  # as the window does
    setting.start()
    setting.join()
    sink.progress(0, 3, None)  # twice a second, whatever the pool waits for
    with SessionFile.open(path) as crashed:
        assert crashed.marks(0) == [Mark(5, "early"), Mark(9, "späť")]
    sink.set_marks(0, [])
    sink.run_finished(cancelled=True)
    sink.close()
    with SessionFile.open(path) as complete:
        assert complete.marks(0) == []


def test_a_mark_in_a_running_trial_is_in_its_file_while_it_runs(qtbot, window, start):
    thread = start(_OneTrialPool)
    qtbot.waitUntil(lambda: window.views.timeline.scene is not None, timeout=10_000)
    press(window.views.timeline, Key.Key_M)

    def kept():
        with SessionFile.open(thread.session_path) as file:
            return tuple(file.marks(1))

    qtbot.waitUntil(lambda: kept() == window.views.timeline.marking.marks != (), timeout=10_000)
    assert window.live.running


def test_a_text_that_is_being_written_stays_with_its_trial_when_another_is_shown(window, session):
    window.open_path(str(session))
    window.activateWindow()
    timeline = window.views.timeline
    timeline.setFocus()
    window.shown.choose_trial(0)
    press(timeline, Key.Key_M, Modifier.ShiftModifier)
    QTest.keyClicks(timeline.focusWidget(), "what happens here")
    window.shown.choose_trial(1)
    assert not timeline.marking.marks
    with SessionFile.open(session) as file:
        assert [mark.text for mark in file.marks(0)] == ["what happens here"]
        assert not file.marks(1)


def test_a_text_that_is_being_written_stays_with_its_session_when_another_is_opened(window, session, tmp_path):
    other = tmp_path / "other.loaderscope"
    other.write_bytes(session.read_bytes())
    window.open_path(str(session))
    window.activateWindow()
    timeline = window.views.timeline
    timeline.setFocus()
    window.shown.choose_trial(0)
    press(timeline, Key.Key_M, Modifier.ShiftModifier)
    QTest.keyClicks(timeline.focusWidget(), "of the first")
    window.open_path(str(other))
    with SessionFile.open(session) as file:
        assert [mark.text for mark in file.marks(0)] == ["of the first"]
    with SessionFile.open(other) as file:
        assert not file.marks(0)
        assert not file.marks(1)


def test_a_sweep_whose_file_cannot_be_made_runs_and_says_so(qtbot, monkeypatch, tmp_path, empty_request):
    thread = live_run.SweepThread(empty_request, tmp_path / "no such folder" / "x.loaderscope")
    monkeypatch.setattr(live_run, "Pool", _OneTrialPool)
    with qtbot.waitSignal(thread.finished, timeout=10_000):
        thread.start()
        thread.cancel()
    _, lines = thread.state.log_since(0)
    assert thread.state.snapshot().finished
    assert "no such folder" in thread.write_error
    assert [line.text for line in lines] == [thread.write_error]


class _FullDisk:
    """A session writer whose disk is full from the second trial on."""

    def __init__(self):
        self.trials = 0

    def __getattr__(self, name):
        return lambda *arguments: None

    def trial_finished(self, result, trace):
        self.trials += 1
        if self.trials == 2:
            raise SessionError("No space left on device.")


def test_a_full_disk_costs_the_file_and_not_the_view():
    state, writer = RunState(), _FullDisk()
    sink = Recording(lambda: writer, state, is_required=False)
    results, _ = support_session.record(sink, support_session.make_run())
    sink.close()
    assert state.snapshot().results == tuple(results)
    assert "No space left" in sink.write_error
    _, lines = state.log_since(0)
    assert sum("No space left" in line.text for line in lines) == 1
    assert writer.trials == 2  # nobody writes to it any more


def test_a_sweep_that_was_waited_for_does_not_end_again_in_what_is_shown_next(qtbot, monkeypatch, empty_request):
    monkeypatch.setattr(live_run, "Pool", _WaitingPool)
    live = LiveRun()
    live.start(empty_request)
    thread = live._thread
    ends = []
    live.ended.connect(lambda: ends.append(1))
    with qtbot.waitSignal(thread.finished, timeout=10_000):  # told to the window later than it happens
        live.stop()
        assert not live.running
    live.close()
    assert not ends


def test_a_sweep_that_does_not_end_in_time_is_kept_until_it_has_ended(qtbot, monkeypatch, empty_request):
    go_on = threading.Event()

    class Stubborn(_WaitingPool):
        def run(self):
            assert go_on.wait(10)

    monkeypatch.setattr(live_run, "Pool", Stubborn)
    monkeypatch.setattr(live_run, "STOP_TIMEOUT_MS", 1)
    live = LiveRun()
    live.start(empty_request)
    thread = live._thread
    live.close()
    assert thread in background_work._late_threads
    with qtbot.waitSignal(thread.finished, timeout=10_000):
        go_on.set()
    qtbot.waitUntil(lambda: thread not in background_work._late_threads, timeout=10_000)


def test_a_look_that_does_not_end_in_time_outlives_its_owner(qtbot):
    go_on, jobs = threading.Event(), Jobs()
    jobs.start("look", lambda: go_on.wait(10))
    (job,) = jobs._running
    assert not jobs.wait_all(1)
    shiboken6.delete(jobs)
    assert shiboken6.isValid(job) and job.isRunning()
    go_on.set()
    qtbot.waitUntil(lambda: job not in background_work._late_threads, timeout=10_000)


def test_an_opened_session_stays_as_it_is_when_the_sweep_before_was_discarded(qtbot, window, start, session):
    thread = start(_WaitingPool)
    with qtbot.waitSignal(thread.finished, timeout=10_000):
        window.open_path(str(session))
    window.views.timeline.setFocus()
    press(window.views.timeline, Key.Key_M)
    with SessionFile.open(session) as file:
        assert file.marks(window.shown.trial) == list(window.views.timeline.marking.marks)
    asked = []
    window.dialogs.unsaved = lambda running, has_results: asked.append(running) or "discard"
    window.close()
    assert not asked


def test_an_answer_for_a_deleted_timeline_is_dropped(qtbot, monkeypatch):
    monkeypatch.setattr(navigable_timeline, "SPANS_AT_ONCE", 10)
    go_on, prepared = threading.Event(), navigable_timeline._prepare_scene
    monkeypatch.setattr(navigable_timeline, "_prepare_scene", lambda *arguments: go_on.wait(10) and prepared(*arguments))
    timeline = TimelineWidget()
    timeline.set_trace(synthetic.make_trace(num_workers=1, batches=20))
    shiboken6.delete(timeline)
    with qtbot.captureExceptions() as exceptions:
        go_on.set()
        qtbot.waitUntil(lambda: not timeline._preparation.busy, timeout=10_000)
    assert not exceptions
