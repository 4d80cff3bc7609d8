"""Device times on the host's clock, with events of a device that is not there: its time is what the test says."""

import pytest
import torch

from loaderscope.agent import device, instrument
from loaderscope.agent.layout import State


class FakeDevice:
    """A device whose clock shows `now_ms`; events finish when the clock has passed `done_ms`."""

    def __init__(self):
        self.now_ms = 0.0
        self.done_ms = 0.0
        self.waited = 0


@pytest.fixture
def fake(monkeypatch):
    fake = FakeDevice()

    class Event:
        def __init__(self, device, enable_timing):
            assert enable_timing

        def record(self):
            self.at_ms = fake.now_ms

        def synchronize(self):
            fake.waited += 1

        def query(self):
            return self.at_ms <= fake.done_ms

        def elapsed_time(self, end):
            return end.at_ms - self.at_ms

    def synchronize(device):
        fake.waited += 1
        fake.done_ms = max(fake.done_ms, fake.now_ms)

    monkeypatch.setattr(torch, "Event", Event)
    monkeypatch.setattr(torch.accelerator, "synchronize", synchronize)
    fake.records, fake.anchors = [], []
    monkeypatch.setattr(
        instrument, "complete", lambda state, start_ns, duration_ns, a=0: fake.records.append((state, start_ns, duration_ns, a))
    )
    monkeypatch.setattr(instrument, "instant", lambda state, a=0, b=0: fake.anchors.append((state, a)))
    return fake


def test_batches_are_placed_when_the_device_has_finished_them_without_waiting(fake):
    clock = device.DeviceClock("fake")
    zero_ns = clock._reference_ns
    assert [state for state, _ in fake.anchors] == [State.DEVICE_ANCHOR] and fake.anchors[0][1] >= 0
    waited = fake.waited
    for batch in range(3):
        fake.now_ms = 100.0 * batch
        start = clock.mark()
        fake.now_ms += 2.0
        between = clock.mark()
        fake.now_ms += 5.0
        clock.add(batch, start, between, clock.mark())
        clock.poll()
    assert fake.records == []
    fake.done_ms = 110.0
    clock.poll()
    assert fake.waited == waited
    assert [(state, start_ns - zero_ns, duration_ns, batch) for state, start_ns, duration_ns, batch in fake.records] == [
        (State.DEVICE_TRANSFER, 0, 2_000_000, 0),
        (State.DEVICE_STEP, 2_000_000, 5_000_000, 0),
        (State.DEVICE_TRANSFER, 100_000_000, 2_000_000, 1),
        (State.DEVICE_STEP, 102_000_000, 5_000_000, 1),
    ]
    clock.finish()
    assert len(fake.records) == 6


def test_the_reference_moves_along_so_that_float32_stays_exact(fake):
    clock = device.DeviceClock("fake")
    zero_ns = clock._reference_ns
    for batch in range(200):
        fake.now_ms = fake.done_ms = 1000.0 * batch
        clock.add(batch, clock.mark(), clock.mark(), clock.mark())
        clock.poll()
        event = clock.mark()
        assert clock._reference.elapsed_time(event) <= 6000.0
    assert fake.records[-1][1] - zero_ns == 199_000_000_000


def test_a_machine_without_an_accelerator_says_so():
    assert device.device_clock(None, uses_device=False) == (None, "")
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator")
    clock, reason = device.device_clock(None, uses_device=True)
    assert clock is None
    assert reason == "device times are not available: torch sees no accelerator"
