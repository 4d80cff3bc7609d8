"""What each wait was spent on: exact values on simulated loaders, and that the parts add up to the wait."""

import dataclasses

import msgspec
import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import measure
from support_session import config_of, make_run, result_of
from synthetic import MS, US

from loaderscope.agent.layout import State
from loaderscope.analysis import late_batches
from loaderscope.analysis.late_batches import NO_WORKER, Cause, Waits, explain, find_waits, slowest_sample
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import PlannedTrial
from loaderscope.session import trace_store
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.trace.model import Trace, batch_id

SLOW = 41


def slow(batch):
    return 300 * MS if batch == SLOW else 5 * MS


def wait_for(trace, batch, epoch=0):
    """The one wait for a batch as a row."""
    waits = find_waits(trace)
    return waits.pick(waits.batch == batch_id(epoch, batch))


def charges(wait):
    assert len(wait) == 1
    return {Cause(cause): ns for cause, ns in enumerate(wait.charged_ns[0].tolist()) if ns}


def test_a_wait_for_a_slow_fetch_is_charged_to_it_and_to_what_came_after_it():
    trace = synthetic.make_trace(num_workers=2, batches=60, fetch_ns=slow)
    wait = wait_for(trace, SLOW)
    after = {Cause.COLLATE: 1 * MS, Cause.SEND: 100 * US, Cause.RECEIVE: 50 * US}
    assert charges(wait) == after | {Cause.FETCH: int(wait.duration_ns[0]) - sum(after.values())}
    assert (wait.worker[0], wait.cause[0]) == (1, Cause.FETCH)
    assert wait.cause_end_ns[0] == wait.fetch_end_ns[0] == wait.end_ns[0] - sum(after.values())
    assert wait.fetch_end_ns[0] - wait.fetch_start_ns[0] == 300 * MS


def test_a_slow_collate_is_told_from_a_slow_fetch():
    trace = synthetic.make_trace(num_workers=2, batches=60, collate_ns=slow)
    wait = wait_for(trace, SLOW)
    assert wait.cause[0] == Cause.COLLATE
    assert wait.cause_end_ns[0] == wait.end_ns[0] - 150 * US


def test_a_slow_pipe_is_charged_to_sending():
    trace = synthetic.make_trace(num_workers=1, batches=20, send_ns=30 * MS, fetch_ns=1 * MS, collate_ns=0)
    wait = wait_for(trace, 10)
    assert wait.cause[0] == Cause.SEND
    assert wait.cause_end_ns[0] == wait.end_ns[0] - 50 * US


def test_sending_ends_when_the_batch_is_in_the_pipe_and_not_when_the_put_returns():
    trace = synthetic.make_trace(num_workers=1, batches=20, send_ns=30 * MS, fetch_ns=1 * MS, collate_ns=0)
    quick = Trace()
    quick.points, quick.lanes = trace.points, trace.lanes
    for key, columns in trace.tracks.items():
        view = columns.view()
        end_ns = np.where(view["state"] == State.SEND, view["start_ns"] + 10 * US, view["end_ns"])
        quick.track(trace.lanes[key.lane], key.depth).append(**(view | {"end_ns": end_ns}))
    assert charges(wait_for(quick, 10)) == charges(wait_for(trace, 10))


def test_later_batches_that_lie_ready_are_counted():
    """With 4 workers and two batches each, six batches of the other three are ready long before the slow one."""
    wait = wait_for(synthetic.make_trace(num_workers=4, batches=80, fetch_ns=slow), SLOW)
    assert wait.held_up[0] == 6
    assert 0.98 * wait.duration_ns[0] < wait.held_up_ns[0] <= wait.duration_ns[0]


def test_nothing_is_held_up_when_batches_are_handed_out_as_they_come():
    waits = find_waits(synthetic.make_trace(num_workers=4, batches=80, fetch_ns=slow, in_order=False))
    assert not waits.held_up.any()
    assert not waits.held_up_ns.any()


def test_what_an_epoch_leaves_behind_does_not_count_in_the_next():
    trace = synthetic.make_trace(num_workers=4, batches=80, epochs=2, fetch_ns=slow, persistent_workers=True)
    first, second = (wait_for(trace, SLOW, epoch) for epoch in range(2))
    assert first.held_up[0] == second.held_up[0] == 6


def test_what_a_broken_off_epoch_leaves_behind_does_not_count_in_the_next():
    """The consumer left the first epoch after 60 batches, while some lay ready."""
    trace = synthetic.make_trace(num_workers=4, batches=80, epochs=2, fetch_ns=slow, persistent_workers=True)
    broken = Trace()
    broken.points, broken.lanes = trace.points, trace.lanes
    for key, columns in trace.tracks.items():
        view = columns.view()
        left_out = (view["state"] == State.WAIT) & (view["batch"] >= batch_id(0, 60)) & (view["batch"] < batch_id(1, 0))
        broken.track(trace.lanes[key.lane], key.depth).append(**{name: column[~left_out] for name, column in view.items()})
    assert len(find_waits(broken)) == len(find_waits(trace)) - 20
    assert wait_for(broken, SLOW, 1).held_up[0] == wait_for(trace, SLOW, 1).held_up[0] == 6


def test_the_first_wait_is_charged_to_the_start_of_the_worker():
    trace = synthetic.make_trace(num_workers=2, batches=10, epochs=2, start_method="spawn", startup_ns=600 * MS)
    for epoch in range(2):
        wait = wait_for(trace, 0, epoch)
        assert wait.cause[0] == Cause.START
        assert charges(wait)[Cause.START] == 596 * MS  # both workers were started before `iter` returned
        assert wait.cause_end_ns[0] == wait.fetch_start_ns[0]


def test_persistent_workers_start_once():
    trace = synthetic.make_trace(num_workers=2, batches=10, epochs=2, startup_ns=600 * MS, persistent_workers=True)
    assert Cause.START in charges(wait_for(trace, 0, 0))
    assert Cause.START not in charges(wait_for(trace, 0, 1))


def test_without_workers_main_fetches_in_the_wait_itself():
    trace = synthetic.make_trace(num_workers=0, batches=60, fetch_ns=slow)
    wait = wait_for(trace, SLOW)
    assert charges(wait) == {Cause.FETCH: 300 * MS, Cause.COLLATE: 1 * MS}
    assert (wait.worker[0], wait.cause_end_ns[0], wait.held_up[0]) == (NO_WORKER, -1, 0)


def test_a_batch_that_was_there_is_charged_to_main_itself():
    """Fetches are quick and unpacking slow: batch 3 lies in the queue while main unpacks batch 2, then it is unpacked."""
    trace = synthetic.make_trace(num_workers=4, batches=60, fetch_ns=1 * MS, collate_ns=0, deserialise_ns=20 * MS)
    wait = wait_for(trace, 30)
    assert charges(wait) == {Cause.RECEIVE: 20 * MS}


def test_a_batch_behind_others_in_the_queue_is_charged_to_the_queue():
    """While main unpacks batch 4, which was sent before it, batch 3 lies in the queue."""
    trace = synthetic.make_trace(num_workers=4, batches=20, fetch_ns=4 * MS, deserialise_ns=20 * MS)
    wait = wait_for(trace, 3)
    assert charges(wait) == {Cause.QUEUE: 20 * MS, Cause.RECEIVE: 20 * MS}
    assert wait.held_up[0] == 1


def test_pinning_belongs_to_receiving():
    trace = synthetic.make_trace(num_workers=2, batches=60, fetch_ns=slow, pin_ns=3 * MS)
    assert charges(wait_for(trace, SLOW))[Cause.RECEIVE] == 3 * MS + 50 * US


def test_a_slow_sampler_is_charged_to_main():
    """The indices of a later batch are drawn when this one is in hand, before `next` returns."""
    trace = synthetic.make_trace(num_workers=2, batches=20)
    waits = spans_of(trace, "main", State.WAIT)
    ends = waits.end_ns.copy()
    ends[9] += 1 * MS  # within the step that follows
    (late,) = explain(trace, waits._replace(end_ns=ends).pick(np.array([9]))).charged_ns
    assert late[Cause.SAMPLER] == 1 * MS


def test_without_workers_the_indices_are_drawn_before_the_fetch():
    trace = synthetic.make_trace(num_workers=0, batches=20, fetch_ns=5 * MS)
    waits = spans_of(trace, "main", State.WAIT)
    earlier = waits._replace(start_ns=waits.start_ns - 1 * MS).pick(np.array([9]))
    (late,) = explain(trace, earlier).charged_ns
    assert {Cause(cause): ns for cause, ns in enumerate(late.tolist()) if ns} == {
        Cause.SAMPLER: 1 * MS,
        Cause.FETCH: 5 * MS,
        Cause.COLLATE: 1 * MS,
    }


def test_a_worker_without_indices_is_told():
    """One batch is asked for at a time, and only when the one before is taken: the fetch begins with the wait."""
    trace = synthetic.make_trace(num_workers=1, batches=20, prefetch_factor=1)
    waits = spans_of(trace, "main", State.WAIT)
    earlier = waits._replace(start_ns=waits.start_ns - 3 * MS).pick(np.array([9]))
    (late,) = explain(trace, earlier).charged_ns
    assert late[Cause.INDEX] > 0
    assert late[Cause.START] == 0


def test_a_batch_of_which_nothing_was_recorded_is_charged_to_nobody():
    trace = synthetic.make_trace(num_workers=2, batches=20)
    bare = Trace()
    for key, columns in trace.tracks.items():
        if key == ("main", 0):
            bare.track(trace.lanes["main"], 0).append(**columns.view())
    waits = find_waits(bare)
    assert len(waits) == 20
    assert (waits.charged_ns[:, Cause.UNKNOWN] == waits.duration_ns).all()
    assert (waits.cause_end_ns == -1).all()


def test_an_empty_trace_has_no_waits():
    assert len(find_waits(Trace())) == 0
    assert len(find_waits(Trace()).costliest(3)) == 0


def test_one_wait_is_explained_like_all_together():
    trace = synthetic.make_trace(num_workers=3, batches=90, epochs=2, fetch_ns=slow)
    waits, spans = find_waits(trace), spans_of(trace, "main", State.WAIT)
    for row in waits.costliest(8).tolist():
        (same,) = np.flatnonzero(spans.start_ns == waits.start_ns[row])
        alone = explain(trace, spans.pick(np.array([same])))
        for field in dataclasses.fields(Waits):
            np.testing.assert_array_equal(getattr(alone, field.name)[0], getattr(waits, field.name)[row], field.name)


def test_the_costliest_come_longest_first():
    waits = find_waits(synthetic.make_trace(num_workers=2, batches=60, fetch_ns=slow))
    rows = waits.costliest(10)
    assert waits.batch[rows[0]] == SLOW
    assert (np.diff(waits.duration_ns[rows]) <= 0).all()
    assert waits.duration_ns[rows].sum() == np.sort(waits.duration_ns)[-10:].sum()


def test_the_slowest_sample_of_a_fetch():
    trace = synthetic.make_trace(num_workers=2, batches=60, fetch_ns=slow, sample_events=True)
    wait = wait_for(trace, SLOW)
    sample, took_ns = slowest_sample(trace, "worker-1", int(wait.fetch_start_ns[0]), int(wait.fetch_end_ns[0]))
    assert sample in range(SLOW * 32, SLOW * 32 + 32)
    assert took_ns == pytest.approx(300 * MS / 32, abs=2)


@settings(max_examples=40, deadline=None)
@given(
    num_workers=st.integers(0, 5),
    prefetch_factor=st.integers(1, 3),
    in_order=st.booleans(),
    persistent_workers=st.booleans(),
    epochs=st.integers(1, 2),
    pin_ns=st.sampled_from([0, 2 * MS]),
    deserialise_ns=st.integers(1, 8 * MS),
    seed=st.integers(0, 1000),
)
def test_what_is_charged_adds_up_to_the_wait(seed, **scenario):
    times = np.random.default_rng(seed).exponential(8 * MS, (2, 30)).astype(int).tolist()
    waits = find_waits(synthetic.make_trace(batches=30, fetch_ns=times[0].__getitem__, collate_ns=times[1].__getitem__, **scenario))
    assert len(waits) == 30 * scenario["epochs"]
    np.testing.assert_array_equal(waits.charged_ns.sum(axis=1), waits.duration_ns)
    assert (waits.charged_ns >= 0).all()
    assert not waits.charged_ns[:, Cause.UNKNOWN].any()
    assert ((waits.held_up_ns >= 0) & (waits.held_up_ns <= waits.duration_ns) & (waits.held_up >= 0)).all()


def test_the_row_of_a_trial_tells_the_cause_and_survives_json():
    row = measure(100, num_workers=4, sample_events=True, fetch_ns=slow)
    (late,) = row.signs.late_batches
    assert (late.cause, late.held_up) == ("fetch", 6)
    assert sum(late.charged_s.values()) == pytest.approx(late.wait_s)
    assert msgspec.json.decode(msgspec.json.encode(row), type=TrialResult).signs.late_batches == [late]


def test_of_a_stored_trace_the_longest_waits_are_explained_and_all_are_counted(tmp_path, monkeypatch):
    trace = synthetic.make_trace(num_workers=2, batches=400, fetch_ns=lambda batch: (100 + batch) * MS if batch % 50 == 7 else 5 * MS)
    run, trial = make_run(workers=(2,)), PlannedTrial(0, 0, config_of(2))
    writer = SessionWriter(tmp_path / "a.loaderscope")
    writer.run_started(run)
    writer.trial_started(trial, trace)
    writer.trial_finished(result_of(trial, trace, run), trace)
    writer.close()
    monkeypatch.setattr(trace_store, "ROWS_IN_MEMORY", 100)
    monkeypatch.setattr(trace_store, "ROWS_OF_SHORT_TABLE", 100)
    monkeypatch.setattr(late_batches, "MOST_EXPLAINED", 9)
    exact = find_waits(trace)
    with SessionFile.open(tmp_path / "a.loaderscope") as session:
        stored = session.trace(0)
        assert stored.is_stored
        waits = find_waits(stored)
    longest = exact.pick(np.sort(exact.costliest(9)))
    for name in ("start_ns", "batch", "worker", "charged_ns", "cause", "fetch_end_ns", "held_up"):
        assert (getattr(waits, name) == getattr(longest, name)).all(), name
    assert waits.all_waits == exact.all_waits
    assert len(late_batches.long_waits(waits)) == len(late_batches.long_waits(exact)) == 9
