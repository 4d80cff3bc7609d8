"""What a trial says of its devices; accelerators are played by stand-ins, as there may be none."""

import json
import types

import agent_package
import pytest

agent_package.load()

from _loaderscope_agent import used_devices  # noqa: E402
from _loaderscope_agent.layout import DEVICES_FILE  # noqa: E402
from _loaderscope_agent.messages import Consumer, TrialConfig, TrialOrder  # noqa: E402


def order(log_dir, device=None, kind="none", pin_memory=False):
    return TrialOrder(0, str(log_dir), TrialConfig(pin_memory=pin_memory), consumer=Consumer(kind), device=device)


def reported(log_dir):
    return json.loads((log_dir / DEVICES_FILE).read_text("utf-8"))


@pytest.fixture
def cuda(monkeypatch):
    """Two devices of which the second holds memory."""
    import torch

    uuids = ["aaaa-0", "bbbb-1"]
    for name, value in {
        "is_available": lambda: pytest.fail("that keeps workers that are forked later from using CUDA"),
        "is_initialized": lambda: True,
        "device_count": lambda: 2,
        "current_device": lambda: 0,
        "memory_reserved": lambda index: index * 100,
        "get_device_properties": lambda index: types.SimpleNamespace(uuid=uuids[index], name="Model 1"),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return torch.cuda


@pytest.mark.parametrize(
    ("options", "may"),
    [
        ({}, False),
        ({"kind": "sleep"}, False),
        ({"device": "cpu"}, False),
        ({"device": "cuda:1"}, True),
        ({"kind": "script"}, True),
        ({"pin_memory": True}, True),
    ],
)
def test_only_what_could_use_a_device_waits_for_the_first_step(tmp_path, options, may):
    assert used_devices.may_use_device(order(tmp_path, **options)) == may


def test_a_trial_without_a_device_says_that_it_uses_none(tmp_path, cuda, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    used_devices.write_devices(order(tmp_path, kind="sleep"))
    assert reported(tmp_path) == {"devices": [], "visible": "1,0", "order": None}


def test_devices_that_hold_memory_and_the_one_asked_for_are_reported_with_their_uuids(tmp_path, cuda):
    used_devices.write_devices(order(tmp_path, kind="script"))
    assert reported(tmp_path)["devices"] == [{"name": "cuda:1", "index": 1, "uuid": "bbbb-1", "model": "Model 1"}]
    used_devices.write_devices(order(tmp_path, device="cuda"))
    assert [device["uuid"] for device in reported(tmp_path)["devices"]] == ["aaaa-0", "bbbb-1"]


def test_a_device_that_was_not_started_is_not_started_to_ask_it(tmp_path, cuda, monkeypatch):
    monkeypatch.setattr(cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(cuda, "device_count", lambda: pytest.fail("asking starts CUDA"))
    used_devices.write_devices(order(tmp_path, kind="script"))
    assert reported(tmp_path)["devices"] == []


def test_an_older_torch_reports_no_uuid(tmp_path, cuda, monkeypatch):
    monkeypatch.setattr(cuda, "get_device_properties", lambda index: types.SimpleNamespace(name="Model 1"))
    used_devices.write_devices(order(tmp_path, kind="script"))
    assert reported(tmp_path)["devices"] == [{"name": "cuda:1", "index": 1, "uuid": None, "model": "Model 1"}]


def test_devices_of_other_accelerators_are_reported_by_the_name_of_their_kind(tmp_path, cuda, monkeypatch):
    import torch

    monkeypatch.setattr(cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch, "xpu", types.SimpleNamespace(**{**vars(cuda), "is_initialized": lambda: True}))
    used_devices.write_devices(order(tmp_path, kind="script"))
    assert reported(tmp_path)["devices"] == [{"name": "xpu:1", "index": 1, "uuid": "bbbb-1", "model": "Model 1"}]


def test_an_accelerator_that_does_not_say_what_memory_is_reserved_is_left_out(tmp_path, cuda, monkeypatch):
    import torch

    monkeypatch.setattr(torch, "xpu", types.SimpleNamespace(is_initialized=lambda: True, device_count=lambda: 2))
    used_devices.write_devices(order(tmp_path, kind="script"))
    assert [device["name"] for device in reported(tmp_path)["devices"]] == ["cuda:1"]
