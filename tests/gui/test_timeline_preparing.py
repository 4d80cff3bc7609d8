"""Traces with many spans are looked through in a thread of their own before they are shown."""

import pytest
import synthetic
from synthetic import MS

from loaderscope.gui.timeline.paint.timeline_painter import UNSHOWN_TITLE
from loaderscope.gui.timeline.widget import navigable_timeline
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget


@pytest.fixture
def timeline(qtbot, monkeypatch):
    monkeypatch.setattr(navigable_timeline, "SPANS_AT_ONCE", 10)
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(900, 400)
    timeline.show()
    qtbot.waitExposed(timeline)
    return timeline


def shown(qtbot, timeline):
    qtbot.waitUntil(lambda: timeline.scene is not None, timeout=5000)


def test_what_is_going_on_is_said_until_the_trace_is_shown(qtbot, timeline):
    trace = synthetic.make_trace(num_workers=2, batches=20)
    timeline.set_trace(trace, "trial 1")
    assert timeline.scene is None
    assert timeline.preparing == f"Preparing {trace.span_count:,} spans"
    assert timeline.accessibleDescription() == timeline.preparing
    said = timeline.grab().toImage()
    shown(qtbot, timeline)
    assert timeline.scene.trace is trace
    assert (timeline.preparing, timeline.accessibleDescription()) == ("", "trial 1")
    assert timeline.viewport.end >= timeline.scene.total_ns
    assert timeline.grab().toImage() != said


def test_only_the_trace_that_was_asked_for_last_is_shown(qtbot, timeline):
    first, second = (synthetic.make_trace(num_workers=number, batches=20) for number in (1, 2))
    timeline.set_trace(first)
    timeline.set_trace(second)
    shown(qtbot, timeline)
    assert timeline.scene.trace is second
    timeline.set_trace(first)
    timeline.set_trace(None)
    with qtbot.assertNotEmitted(timeline.traceShown, wait=100):
        pass
    assert timeline.scene is None
    assert timeline.preparing == ""


def test_a_small_trace_is_shown_at_once(timeline, monkeypatch):
    monkeypatch.setattr(navigable_timeline, "SPANS_AT_ONCE", 100_000)
    timeline.set_trace(synthetic.make_trace(num_workers=1, batches=4))
    assert timeline.scene is not None


def test_where_to_go_is_remembered_until_the_trace_is_shown(qtbot, timeline):
    trace = synthetic.make_trace(num_workers=2, batches=20)
    low, high = trace.origin_ns + 10 * MS, trace.origin_ns + 20 * MS
    timeline.set_trace(trace)
    timeline.show_range(low, high)
    shown(qtbot, timeline)
    assert timeline.visible_range_ns() == (low, high)


def test_a_prepared_scene_looks_like_one_that_was_not(qtbot, timeline, monkeypatch):
    trace = synthetic.make_trace(num_workers=3, batches=200)
    timeline.set_trace(trace, "a trial")
    shown(qtbot, timeline)
    prepared = timeline.grab().toImage()
    monkeypatch.setattr(navigable_timeline, "SPANS_AT_ONCE", 100_000)
    timeline.set_trace(trace, "a trial")
    assert timeline.grab().toImage() == prepared


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_while_a_trace_is_prepared_is_said_in_its_place(qtbot, timeline, monkeypatch):
    monkeypatch.setattr(navigable_timeline, "_prepare_scene", lambda *_: 1 // 0)
    timeline.set_trace(synthetic.make_trace(num_workers=2, batches=20))
    assert timeline.preparing.startswith("Preparing")
    qtbot.waitUntil(lambda: timeline.preparing == UNSHOWN_TITLE, timeout=5000)
    assert timeline.accessibleDescription() == UNSHOWN_TITLE
    timeline.set_trace(None)
    assert not timeline.preparing
