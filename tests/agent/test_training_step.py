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
    monkeypatch.setattr(training_step, "_load_device", lambda kind, device: torch.device("cpu"))
    monkeypatch.setattr(training_step, "_MATRIX_SIZE", 64)
    monkeypatch.setattr(training_step, "_WARM_UP_S", 0.01)
    monkeypatch.setattr(training_step, "_CALIBRATION_S", 0.002)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda where: None)


@pytest.mark.parametrize("kind", ["device", "cuda"])
def test_what_the_load_really_takes_is_told(small_load, kind):
    notes = []
    step = training_step.make_step(Consumer(kind, 3.0), {}, None, notes)
    assert step(None) is None
    (note,) = notes
    assert note.startswith("The synthetic load of 3 ms takes ") and "a batch on cpu: " in note


def test_parts_of_a_product_are_not_lost(small_load, monkeypatch):
    monkeypatch.setattr(training_step, "_calibrate", lambda measure: 0.004)
    step = training_step.make_step(Consumer("device", 6.0), {}, None, [])
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
    training_step.make_step(Consumer("device", 0.0), {}, None, notes)(None)
    assert notes == []


def accelerators(monkeypatch, cuda, current):
    """Makes torch have CUDA or not, and this current accelerator, or none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: current is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: current and torch.device(current))


@pytest.mark.parametrize("kind", ["device", "cuda"])
@pytest.mark.parametrize(("cuda", "current"), [(True, "cuda"), (False, "xpu"), (False, "mps")])
def test_a_load_runs_where_the_batches_go_and_never_on_the_cpu(monkeypatch, kind, cuda, current):
    accelerators(monkeypatch, cuda, current)
    assert training_step._load_device(kind, f"{current}:1") == torch.device(current, 1)
    assert training_step._load_device(kind, None) == training_step._load_device(kind, "cpu") == torch.device(current)


def test_only_a_cuda_load_prefers_cuda_to_the_current_accelerator(monkeypatch):
    accelerators(monkeypatch, True, "privateuseone")
    assert training_step._load_device("cuda", None) == torch.device("cuda")
    assert training_step._load_device("device", None) == torch.device("privateuseone")


@pytest.mark.parametrize("kind", ["device", "cuda"])
def test_an_old_torch_without_its_accelerator_module_loads_cuda(monkeypatch, kind):
    accelerators(monkeypatch, True, None)
    monkeypatch.delattr(torch, "accelerator")
    assert training_step._load_device(kind, None) == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AgentError, match="CUDA"):
        training_step._load_device(kind, None)


@pytest.mark.parametrize(
    ("kind", "built_for", "missing"),
    [("device", None, "no accelerator"), ("cuda", None, "built without CUDA"), ("cuda", "13.0", "no CUDA device")],
)
def test_without_an_accelerator_the_load_is_refused_and_what_is_missing_named(monkeypatch, kind, built_for, missing):
    accelerators(monkeypatch, False, None)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    with pytest.raises(AgentError, match=missing):
        training_step.make_step(Consumer(kind, 5.0), {}, None)
