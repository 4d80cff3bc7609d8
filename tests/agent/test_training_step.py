"""Steps that stand for a training step: how a synthetic load is calibrated, and where it runs."""

import pytest
import torch

from loaderscope.agent import training_step
from loaderscope.agent.error_sentences import AgentError
from loaderscope.agent.messages import Consumer


def test_a_load_is_calibrated_after_the_device_has_raised_its_clocks():
    ran_s = 0.0

    def measure(products):
        nonlocal ran_s
        product_s = 0.002 if ran_s < 0.3 else 0.001  # half the clock while it is cold
        ran_s += products * product_s
        return products * product_s

    assert training_step._calibrate(measure) == pytest.approx(0.001)
    assert ran_s < 3.0


def test_one_interrupted_round_does_not_spoil_the_calibration():
    rounds = 0

    def measure(products):
        nonlocal rounds
        rounds += 1
        return products * (0.05 if rounds % 4 == 0 else 0.001)

    assert training_step._calibrate(measure) == pytest.approx(0.001)


@pytest.fixture
def small_load(monkeypatch):
    """The load on the CPU, with small matrices."""
    monkeypatch.setattr(training_step, "_load_device", lambda device: torch.device("cpu"))
    monkeypatch.setattr(training_step, "_MATRIX_SIZE", 64)
    monkeypatch.setattr(training_step, "_WARM_UP_S", 0.01)
    monkeypatch.setattr(training_step, "_CALIBRATION_S", 0.002)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda where: None)


def test_what_the_load_really_takes_is_told(small_load):
    notes = []
    step = training_step.make_step(Consumer("cuda", 3.0), {}, None, notes)
    assert step(None) is None
    (note,) = notes
    assert note.startswith("The synthetic load of 3 ms takes ") and "a batch on cpu: " in note


def test_parts_of_a_product_are_not_lost(small_load, monkeypatch):
    monkeypatch.setattr(training_step, "_calibrate", lambda measure: 0.004)
    step = training_step.make_step(Consumer("cuda", 6.0), {}, None, [])
    products = []
    monkeypatch.setattr(torch, "mm", lambda *_, out: products.append(1))
    counts = []
    for _ in range(8):
        products.clear()
        step(None)
        counts.append(len(products))
    assert counts == [1, 2] * 4  # one and a half a batch


def test_a_load_of_no_time_does_nothing(small_load):
    notes = []
    training_step.make_step(Consumer("cuda", 0.0), {}, None, notes)(None)
    assert notes == []


def test_a_load_runs_where_the_batches_go_and_never_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training_step._load_device("cuda:1") == torch.device("cuda", 1)
    assert training_step._load_device(None) == training_step._load_device("cpu") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("xpu"))
    assert training_step._load_device(None) == torch.device("xpu")


def test_without_an_accelerator_the_load_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(AgentError, match="a synthetic CUDA load cannot be run"):
        training_step.make_step(Consumer("cuda", 5.0), {}, None)
