"""Device times on the host's clock, with a device that is not there: both clocks are what the test says."""

import random
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loaderscope.agent import device, device_choice, instrument, trials
from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer, TrialConfig, TrialOrder

START_NS = 7_000_000_000_000


class FakeMachine:
    """A host whose clock is read in steps, and a device whose clock runs at another pace and stamps events late.

    Attributes:
        stream_free_ns: when each stream has done all that was put on it.
        device_waits: how often the host waited for the device or for an event.
        fails_after: so many times are told between events before that fails.
    """

    def __init__(self, drift_ppm=0.0, jitter_ns=0, delay_ns=0, seed=0, least_delay_ns=0):
        self.now_ns = START_NS
        self.drift_ppm, self.jitter_ns, self.delay_ns, self.least_delay_ns = drift_ppm, jitter_ns, delay_ns, least_delay_ns
        self.random = random.Random(seed)
        self.stream_free_ns = {}
        self.device_waits = self.elapsed_calls = 0
        self.fails_after = None
        self.records = []
        self.anchors = []

    def perf_counter_ns(self):
        self.now_ns += 100 + self.random.randint(0, self.jitter_ns)
        return self.now_ns

    def device_ms(self, host_ns):
        """The device's clock at a time of the host's."""
        return (host_ns - START_NS) / 1e6 * (1 + self.drift_ppm * 1e-6) + 123_456.0

    def stamp(self, stream, busy_ns=0):
        """When an event that is put on a stream now is passed; `busy_ns`: work before it."""
        self.now_ns += self.random.randint(0, self.jitter_ns)
        reached_ns = self.now_ns + self.least_delay_ns + self.random.randint(0, self.delay_ns)
        self.stream_free_ns[stream] = max(reached_ns, self.stream_free_ns.get(stream, 0)) + busy_ns
        return self.stream_free_ns[stream]


def fake_torch(machine, patch, stream_ids=("side", "main")):
    class Stream:
        def __init__(self, device, *, priority=0, stream_id=stream_ids[0]):
            self.stream_id = stream_id

        def query(self):
            return machine.stream_free_ns.get(self.stream_id, 0) <= machine.now_ns

        def synchronize(self):
            machine.device_waits += 1
            machine.now_ns = max(machine.now_ns, machine.stream_free_ns.get(self.stream_id, 0))

    current = Stream(None, stream_id=stream_ids[1])

    class Event:
        """As c10/core/impl/InlineEvent.h and CUDAGuardImpl.h have it; what raises there ends the test, as a clock would hide it."""

        def __init__(self, device=None, *, enable_timing=False):
            self.is_timed, self.at_ns = enable_timing, None

        def record(self, stream):
            self.at_ns = machine.stamp(stream.stream_id)

        def query(self):
            return self.at_ns is None or self.at_ns <= machine.perf_counter_ns()

        def synchronize(self):
            machine.device_waits += 1
            machine.now_ns = max(machine.now_ns, self.at_ns)

        def elapsed_time(self, end):
            assert self.is_timed and end.is_timed, "Both events must be created with argument 'enable_timing=True'."
            assert self.at_ns is not None and end.at_ns is not None, "Both events must be recorded before calculating elapsed time."
            assert max(self.at_ns, end.at_ns) <= machine.now_ns, "Both events must be completed before calculating elapsed time."
            machine.elapsed_calls += 1
            if machine.fails_after is not None and machine.elapsed_calls > machine.fails_after:
                raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")
            return float(np.float32(machine.device_ms(end.at_ns) - machine.device_ms(self.at_ns)))  # below 0 the other way round

    def synchronize(where):
        machine.device_waits += 1
        machine.now_ns = max([machine.now_ns, *machine.stream_free_ns.values()])

    patch.setattr(torch, "Event", Event)
    patch.setattr(torch, "Stream", Stream)
    patch.setattr(torch.accelerator, "current_stream", lambda where: current)
    patch.setattr(torch.accelerator, "synchronize", synchronize)
    patch.setattr(device.time, "perf_counter_ns", machine.perf_counter_ns)
    patch.setattr(instrument, "complete", lambda state, start_ns, length_ns, a=0: machine.records.append((state, start_ns, length_ns, a)))
    patch.setattr(instrument, "begin", lambda state, a=0: None)
    patch.setattr(instrument, "end", lambda state, a=0, b=0: None)
    patch.setattr(instrument, "instant", lambda state, a=0, b=0: machine.anchors.append((state, a)))


def run_steps(clock, machine, steps, host_ns, busy_ns):
    """A loop with a step of that long on host and device; gives the true begin and end of each step."""
    truth = []
    for batch in range(steps):
        before = clock.mark()
        after = clock.mark()
        after.at_ns = machine.stamp("main", busy_ns)
        truth.append((before.at_ns, after.at_ns))
        machine.now_ns += host_ns
        clock.add(batch, None, device.Period(before, after, 0))
        clock.poll()
    return truth


def worst_error_ns(machine, truth):
    placed = {batch: (start_ns, start_ns + length_ns) for _, start_ns, length_ns, batch in machine.records}
    return max(abs(found - true) for batch, ends in enumerate(truth) for found, true in zip(placed[batch], ends, strict=True))


@settings(max_examples=30, deadline=None)
@given(
    drift_ppm=st.floats(-100, 100),
    jitter_ns=st.integers(0, 20_000),
    delay_ns=st.integers(0, 200_000),
    host_ms=st.integers(1, 3_000),
    busy_ms=st.integers(0, 500),
    seed=st.integers(0, 99),
)
def test_no_time_is_further_off_than_is_stated(drift_ppm, jitter_ns, delay_ns, host_ms, busy_ms, seed):
    machine = FakeMachine(drift_ppm, jitter_ns, delay_ns, seed)
    with pytest.MonkeyPatch.context() as patch:
        fake_torch(machine, patch)
        clock = device.DeviceClock(torch.device("cuda"))
        truth = run_steps(clock, machine, 60, host_ms * 1_000_000, busy_ms * 1_000_000)
        clock.finish()
    assert len(machine.records) == 60
    assert {state for state, _ in machine.anchors} == {State.DEVICE_ANCHOR}
    assert worst_error_ns(machine, truth) <= max(error_ns for _, error_ns in machine.anchors)


@pytest.fixture
def machine(monkeypatch):
    machine = FakeMachine(drift_ppm=50.0, jitter_ns=2_000, delay_ns=8_000)
    fake_torch(machine, monkeypatch)
    return machine


def test_a_drift_of_the_clocks_is_taken_out_between_anchors(machine):
    clock = device.DeviceClock(torch.device("cuda"))
    truth = run_steps(clock, machine, 600, 100_000_000, 20_000_000)
    clock.finish()
    assert worst_error_ns(machine, truth) < 30_000  # a minute at 50 ppm would be 3 ms
    assert 30 < len(machine.anchors) <= 62
    assert max(error_ns for _, error_ns in machine.anchors) < 30_000


def test_nothing_is_waited_for_within_the_loop_and_batches_are_placed_while_it_runs(machine):
    clock = device.DeviceClock(torch.device("cuda"))
    waits = machine.device_waits
    run_steps(clock, machine, 100, 100_000_000, 20_000_000)
    assert machine.device_waits == waits
    assert 80 <= len(machine.records) < 100
    clock.finish()
    assert [batch for *_, batch in machine.records] == list(range(100))


def test_wide_anchors_are_left_out_until_there_has_been_none_for_ten_seconds(machine):
    clock = device.DeviceClock(torch.device("cuda"))
    machine.delay_ns = 0
    run_steps(clock, machine, 15, 100_000_000, 0)
    narrow = len(machine.anchors)
    late = machine.stamp("side", 3_600_000_000_000)  # something holds the side stream up
    run_steps(clock, machine, 30, 100_000_000, 0)
    assert len(machine.anchors) == narrow
    machine.stream_free_ns["side"] = 0
    clock._open_event.at_ns = machine.now_ns  # passed long after it was asked for: a wide bracket
    run_steps(clock, machine, 1, 100_000_000, 0)
    assert len(machine.anchors) == narrow and clock._best_attempt is not None
    assert late > machine.now_ns
    machine.jitter_ns = 400_000  # no bracket is narrow any more
    run_steps(clock, machine, 150, 100_000_000, 0)
    assert narrow < len(machine.anchors) <= narrow + 3
    assert max(error_ns for _, error_ns in machine.anchors) > 100_000


def test_a_driver_that_takes_its_time_is_given_it_rather_than_a_whole_batch(monkeypatch):
    machine = FakeMachine(least_delay_ns=150_000, delay_ns=20_000)
    fake_torch(machine, monkeypatch)
    clock = device.DeviceClock(torch.device("cuda"))
    truth = run_steps(clock, machine, 300, 100_000_000, 20_000_000)
    clock.finish()
    assert max(error_ns for _, error_ns in machine.anchors) < 200_000
    assert worst_error_ns(machine, truth) < 200_000
    assert len(machine.anchors) > 20


def test_copies_on_a_stream_of_their_own_overlap_the_step_before(machine):
    clock = device.DeviceClock(torch.device("cuda"))
    copies = types.SimpleNamespace(stream_id="copies")
    for batch in range(3):
        before, after = clock.mark(copies), clock.mark(copies)
        after.at_ns = machine.stamp("copies", 4_000_000)
        begin, end = clock.mark(), clock.mark()
        begin.at_ns = max(begin.at_ns, after.at_ns)
        end.at_ns = machine.stamp("main", 10_000_000)
        clock.add(batch, device.Period(before, after, 0), device.Period(begin, end, 0))
        machine.now_ns += 5_000_000
    clock.finish()
    spans = {(state, batch): (start_ns, start_ns + length_ns) for state, start_ns, length_ns, batch in machine.records}
    assert spans[State.DEVICE_TRANSFER, 1][0] < spans[State.DEVICE_STEP, 0][1]
    assert len(spans) == 6


def test_a_device_with_one_stream_is_compared_before_and_after_the_loop_only(monkeypatch):
    machine = FakeMachine(drift_ppm=50.0, jitter_ns=2_000)
    fake_torch(machine, monkeypatch, stream_ids=("only", "only"))
    clock = device.DeviceClock(torch.device("cuda"))
    assert "no second stream" in clock.note
    truth = run_steps(clock, machine, 50, 1_000_000_000, 20_000_000)
    assert len(machine.anchors) == 1 and machine.records == []
    clock.finish()
    assert worst_error_ns(machine, truth) <= max(error_ns for _, error_ns in machine.anchors) < 60_000


def test_the_events_of_mps_are_enough(monkeypatch):
    """torch cannot wait for its stream, refuses an interval of length 0, and never returns if asked twice for the end of an interval."""
    machine = FakeMachine(jitter_ns=2_000)
    fake_torch(machine, monkeypatch)
    plain, ends = torch.Event, []

    class Event(plain):
        def elapsed_time(self, end):
            assert not any(end is other for other in ends)
            ends.append(end)
            if end.at_ns <= self.at_ns:
                raise RuntimeError("End event was not recorded after start event")
            return super().elapsed_time(end)

    def synchronize(stream):
        raise RuntimeError("Backend doesn't support synchronizing streams.")

    monkeypatch.setattr(torch, "Event", Event)
    monkeypatch.setattr(torch.Stream, "synchronize", synchronize)
    monkeypatch.setattr(device, "device_of_trial", lambda name: (torch.device(name), ""))
    clock, note = device.device_clock("mps:0", uses_device=True)
    assert "no second stream" in note
    for batch in range(3):
        before = clock.mark()
        copied = clock.since(before)
        clock.add(batch, copied, clock.since(copied.after))
        clock.poll()
    clock.finish()
    assert clock.failure == ""
    assert [batch for state, *_, batch in machine.records if state == State.DEVICE_STEP] == [0, 1, 2]


def test_a_step_that_ends_on_another_stream_than_it_began_on_is_placed_once_both_are_through(machine):
    clock = device.DeviceClock(torch.device("cuda"))
    begin, end = clock.mark(), clock.mark(types.SimpleNamespace(stream_id="another"))
    begin.at_ns = machine.stamp("main", 1_500_000_000)  # that stream is still at earlier work, the other one is free
    clock.add(0, None, device.Period(begin, end, 0))
    run_steps(clock, machine, 30, 100_000_000, 0)
    clock.finish()
    (_, start_ns, length_ns, batch), *_ = machine.records
    assert abs(start_ns - begin.at_ns) < 100_000 and (length_ns, batch) == (0, 0)  # it ends before it begins: no length that could be told
    assert clock.failure == ""


def test_a_clock_that_fails_in_the_loop_ends_the_device_times_and_not_the_trial(machine):
    clock = device.DeviceClock(torch.device("cuda"))
    machine.fails_after = machine.elapsed_calls + 20
    run_steps(clock, machine, 100, 100_000_000, 20_000_000)
    clock.finish()
    assert 0 < len(machine.records) < 20
    assert not clock._pending  # events of later batches are not kept
    assert clock.failure == "device times end early: CUDA error: an illegal memory access was encountered"


def test_a_clock_that_fails_at_the_end_does_not_fail_the_trial_either(machine):
    clock = device.DeviceClock(torch.device("cuda"))
    run_steps(clock, machine, 3, 1_000_000, 1_000_000)
    machine.fails_after = machine.elapsed_calls
    clock.finish()
    assert clock.failure and machine.records == []


@pytest.fixture
def cuda(monkeypatch):
    """Two CUDA devices of which the first is the current one."""
    told = types.SimpleNamespace(started=True, reserved=[0, 0])
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: pytest.fail("that keeps forked workers from using CUDA"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("that keeps forked workers from using CUDA"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: told.started)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: told.reserved[index])
    return told


@pytest.mark.parametrize(
    ("name", "reserved", "found"),
    [
        ("cuda", [0, 5], "cuda:0"),  # where the batches go
        ("cuda:1", [5, 0], "cuda:1"),
        (None, [5, 9], "cuda:0"),
        (None, [0, 9], "cuda:1"),  # a model that was put there; the current device has nothing to do
    ],
)
def test_a_trial_is_looked_for_where_its_batches_go_or_its_model_is(cuda, name, reserved, found):
    cuda.reserved = reserved
    assert device_choice.device_of_trial(name) == (torch.device(found), "")


def test_a_device_that_the_script_does_not_use_is_neither_started_nor_shown(cuda):
    nothing = (None, "the script had nothing on a device before its first step")
    assert device_choice.device_of_trial(None) == nothing
    cuda.started, cuda.reserved = False, None
    assert device_choice.device_of_trial(None) == nothing
    assert device_choice.device_of_trial("cpu") == (None, "the batches stay on the CPU")


def test_without_an_accelerator_torch_is_not_asked_which_is_the_current_one(monkeypatch):
    """torch 2.6 raises an exception then."""
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 0)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: pytest.fail("there is none"))
    assert device_choice.device_of_trial(None) == (None, "torch sees no accelerator")
    assert device_choice.device_of_trial("cuda") == (None, "torch sees no accelerator")


@pytest.mark.parametrize("place", ["Event", "elapsed_time"])
def test_a_device_without_timed_events_says_why(monkeypatch, cuda, place):
    class Event:
        def __init__(self, device, enable_timing):
            if place == "Event":
                raise RuntimeError("fake does not support event timing")

        def record(self, stream):
            pass

        def synchronize(self):
            pass

        def elapsed_time(self, other):
            raise NotImplementedError("fake does not support event timing\nat all")

    monkeypatch.setattr(torch, "Event", Event)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda where: None)
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda where: None)
    monkeypatch.setattr(device, "side_stream", lambda where: None)
    clock, reason = device.device_clock("cuda:0", uses_device=True)
    assert clock is None
    assert reason == "device times are not available: fake does not support event timing"


@pytest.mark.parametrize("call", ["query", "synchronize"])
def test_a_device_whose_streams_cannot_be_followed_says_why(monkeypatch, machine, call):
    def cannot(stream):
        raise RuntimeError("Backend doesn't support that")

    monkeypatch.setattr(torch.Stream, call, cannot)
    monkeypatch.setattr(device, "device_of_trial", lambda name: (torch.device(name), ""))
    assert device.device_clock("xpu:0", uses_device=True) == (None, "device times are not available: Backend doesn't support that")


@pytest.mark.parametrize(("unseen_ms", "host_ms", "is_lower_bound"), [(0, 0, False), (20, 0, True), (0, 20, False), (20, 20, True)])
def test_only_work_on_unknown_streams_makes_busy_a_lower_bound_not_a_slow_host(machine, monkeypatch, unseen_ms, host_ms, is_lower_bound):
    clock = device.DeviceClock(torch.device("cuda"))
    run_steps(clock, machine, 5, 1_000_000, 1_000_000)
    synchronize = torch.accelerator.synchronize

    def slow(where):
        synchronize(where)
        machine.now_ns += host_ms * 1_000_000  # another thread holds the GIL

    monkeypatch.setattr(torch.accelerator, "synchronize", slow)
    machine.stamp("unknown", unseen_ms * 1_000_000)
    clock.finish()
    assert bool(clock.lower_bound_note) is is_lower_bound


def test_a_machine_without_an_accelerator_says_so():
    assert device.device_clock(None, uses_device=False) == (None, "")
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator")
    clock, reason = device.device_clock(None, uses_device=True)
    assert clock is None
    assert reason == "device times are not available: torch sees no accelerator"


class ToldClock:
    """Keeps what the loop tells a clock."""

    note = failure = lower_bound_note = ""
    device = torch.device("cuda", 0)

    def __init__(self):
        self.marks, self.batches, self.polls = 0, [], 0

    def mark(self, stream=None):
        self.marks += 1
        return self.marks

    def since(self, before, stream=None):
        return device.Period(before, self.mark(stream), 0)

    def mark_step_streams(self):
        return []

    def since_on_step_streams(self, before, befores):
        return []

    def add(self, batch, transfer, step, others):
        assert others == []
        self.batches.append(tuple(period and (period.before, period.after) for period in (transfer, step)))

    def poll(self):
        self.polls += 1

    def finish(self):
        self.batches.append("finished")


@pytest.mark.parametrize(
    ("consumer", "device_name", "told"),
    [
        (Consumer("script"), None, [(None, (1, 2)), (None, (3, 4))]),
        (Consumer("script"), "cpu", [((1, 2), (2, 3)), ((4, 5), (5, 6))]),  # the end of the copy is the begin of the step
        (Consumer("sleep", 0.1), "cpu", [((1, 2), None), ((3, 4), None)]),  # a simulated step is no work of the device
        (Consumer("none"), "cpu", [((1, 2), None), ((3, 4), None)]),
    ],
)
def test_only_what_the_device_does_is_marked_on_it(monkeypatch, tmp_path, consumer, device_name, told):
    clock = ToldClock()
    monkeypatch.setattr(trials, "device_clock", lambda name, uses_device, copies: (clock, ""))
    dataset = torch.utils.data.TensorDataset(torch.rand(8, 2))
    feed = trials.Feed(dataset, {"train_step": lambda batch: batch[0].sum()})
    order = TrialOrder(0, str(tmp_path / "log"), TrialConfig(0, 4), batches=2, consumer=consumer, device=device_name)
    try:
        trials.run_trial(order, feed)
    finally:
        instrument.uninstall()
    assert clock.batches == [*told, "finished"]
    assert clock.polls == 2


def test_what_the_device_times_leave_out_is_told(monkeypatch):
    monkeypatch.setattr(trials.used_devices, "devices_in_use", lambda order: [{"name": "cuda:0"}, {"name": "cuda:1"}])
    clock = ToldClock()
    assert trials._device_notes(None, clock) == ["Device times are those of cuda:0; the trial also uses cuda:1."]
    clock.device, clock.failure = torch.device("cuda", 1), "device times end early: lost"
    assert trials._device_notes(None, clock) == ["Device times are those of cuda:1; the trial also uses cuda:0.", clock.failure]
