"""The measured loop: when it copies a batch, takes its step and forgets it."""

import weakref

import pytest
import torch

from loaderscope.agent import instrument, trials
from loaderscope.agent.messages import Consumer, TrialConfig, TrialOrder

BATCHES = 5


class Transfer:
    """Moves batches to a device that is not there, on a stream of its own or not, and counts the batches on it at each copy."""

    def __init__(self, stream):
        self.stream = stream
        self._on_device = weakref.WeakSet()
        self.counts = []

    def issue(self, batch):
        self.counts.append(len(self._on_device))
        moved = torch.clone(batch)
        self._on_device.add(moved)
        return moved

    def wait(self, number):
        pass

    def hand_over(self, moved):
        pass


@pytest.fixture
def run_trial(monkeypatch, tmp_path):
    """A function that runs a trial with such a transfer and returns the transfer."""

    def run(stream, **options):
        transfer = Transfer(stream)
        monkeypatch.setattr(trials, "Transfer", lambda device, h2d: transfer)
        monkeypatch.setattr(trials, "device_clock", lambda name, uses_device, copies: (None, ""))
        dataset = torch.arange(float(4 * BATCHES))
        order = TrialOrder(
            0, str(tmp_path / "log"), TrialConfig(0, 4), batches=BATCHES, consumer=Consumer("script"), device="cpu", **options
        )
        try:
            trials.run_trial(order, trials.Feed(dataset, {"train_step": lambda batch: batch.sum()}))
        finally:
            instrument.uninstall()
        return transfer

    return run


@pytest.mark.parametrize(("stream", "on_device"), [(None, 0), ("copies", 1)], ids=["same stream", "overlapped"])
def test_a_batch_whose_step_was_taken_leaves_the_device_before_the_next_copy(run_trial, stream, on_device):
    assert run_trial(stream).counts == [0, *[on_device] * (BATCHES - 1)]


@pytest.mark.parametrize("stream", [None, "copies"], ids=["same stream", "overlapped"])
def test_the_exact_window_hears_of_each_step_of_its_epoch(run_trial, monkeypatch, stream):
    steps = []

    def measure(window_steps, warm_steps, device, run):
        run(lambda: steps.append(1) or len(steps) == window_steps + warm_steps)
        return {}

    monkeypatch.setattr(trials.exact_window, "measure", measure)
    run_trial(stream, gpu_window=100)
    assert len(steps) == BATCHES
