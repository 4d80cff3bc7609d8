"""The real pynvml on a small libnvidia-ml of our own, in a process of its own, as a library is loaded once."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from nvml_library import build

from loaderscope.telemetry.gpus import find_device
from loaderscope.telemetry.throttle import throttling_in_words
from loaderscope.trace.used_devices import UsedDevice, UsedDevices

READ = """
import json, sys
from loaderscope.telemetry.nvml import Nvml
nvml = Nvml()
samples = []
for round in range(int(sys.argv[1])):
    samples += (*nvml.read_fast(nvml.devices, 7), *nvml.read_slow(nvml.devices, 8))
values = {}
for sample in samples:
    values.setdefault(sample.info.key, []).append(sample.value)
print(json.dumps({
    "gpus": [gpu.to_json() for gpu in nvml.gpus],
    "values": values,
    "labels": {sample.info.key: sample.info.label for sample in samples},
    "windows": {sample.info.key: sample.info.window_ns for sample in samples},
    "unavailable": nvml.unavailable,
    "seconds": nvml.seconds,
}))
nvml.close()
"""
TRIAL = """
import json, pathlib, sys
from loaderscope.telemetry.gpus import GpuSampler
from loaderscope.telemetry.nvml import Nvml
message, log_dir, pcie = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]), []
sampler = GpuSampler(Nvml(), log_dir, pcie.extend if sys.argv[3] == "pcie" else None)
before = [len(sampler.sample()) for round in range(2)]
if message is not None:
    (log_dir / "devices.json").write_text(json.dumps(message))
after = sampler.sample()
import threading
if sys.argv[3] == "pcie":
    for thread in threading.enumerate():
        if thread.name == "pcie sampler":
            thread.join(0.5)
after += sampler.finish()
print(json.dumps({
    "before": before,
    "keys": sorted({sample.info.key for sample in after}),
    "utilisations": sum(sample.info.group == "gpu_utilisation" for sample in after),
    "pcie": {sample.info.key: [sample.value, sample.info.window_ns] for sample in pcie},
    "unavailable": sampler.unavailable,
    "seconds": sampler.seconds,
    "threads": [thread.name for thread in threading.enumerate()],
}))
"""
A, B = "aaaaaaaa-1111-2222-3333-444444444444", "bbbbbbbb-1111-2222-3333-444444444444"


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="module")
def old_library_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build(tmp_path_factory.mktemp("old-nvml"), "-DOLD")


def run(program: str, folder: pathlib.Path, arguments: list[str], environment: dict[str, str]) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), **environment},
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def read(folder: pathlib.Path, rounds: int = 2, **environment: str) -> dict:
    return run(READ, folder, [str(rounds)], environment)


def sample_trial(folder: pathlib.Path, log_dir: pathlib.Path, used: list | None, pcie: bool = False, **settings: str | None) -> dict:
    """Samples a trial and returns what the sampler gave.

    Args:
        folder: that of the NVML library.
        log_dir: that of the trial.
        used: index and UUID of the devices that the trial reports after two rounds; None: it ends before.
        pcie: whether to read the PCIe throughput.
        settings: `visible` and `order` as the agent reports them, and settings of the NVML library.
    """
    devices = None if used is None else [{"name": f"cuda:{index}", "index": index, "uuid": uuid} for index, uuid in used]
    message = None if devices is None else {"devices": devices, "visible": settings.get("visible"), "order": settings.get("order")}
    environment = {key: value for key, value in settings.items() if key.startswith("FAKE")}
    return run(TRIAL, folder, [json.dumps(message), str(log_dir), "pcie" if pcie else ""], environment)


def gpus_of(report: dict) -> set[str]:
    return {key.partition("/")[0] for key in report["keys"]}


def test_values_come_with_unit_window_and_uuid(library_folder):
    report = read(library_folder)
    assert [(gpu["uuid"], gpu["name"], gpu["memory_bytes"]) for gpu in report["gpus"]] == [
        (f"GPU-{A}", "Fake 100", 1000),
        (f"GPU-{B}", "Fake 100", 1000),
    ]
    values = report["values"]
    assert (values["gpu-0/utilisation"], values["gpu-1/utilisation"]) == ([41, 43], [52, 54])
    assert (values["gpu-0/memory"], values["gpu-0/power"], values["gpu-0/power_limit"]) == ([250] * 2, [71.5] * 2, [300] * 2)
    assert values["gpu-0/temperature"] == [56, 58]
    assert (values["gpu-0/sm_clock"], values["gpu-0/memory_clock"]) == ([1800] * 2, [9000] * 2)
    assert 1e9 / 6 - 1 <= report["windows"]["gpu-0/utilisation"] <= 1e9
    assert report["windows"]["gpu-0/memory"] == 0
    assert "all processes" in report["labels"]["gpu-0/memory"]
    assert 0 < report["seconds"] < 1


def test_throttling_is_reported_and_a_power_cap_is_no_throttling(library_folder):
    values = read(library_folder, rounds=3)["values"]["gpu-0/throttle"]
    assert values == [0, 0, 0x40]
    assert throttling_in_words(0x04 | 0x40) == ["hardware thermal slowdown"]
    assert throttling_in_words(0x04) == []


def test_the_energy_counter_grows(library_folder):
    before, after = read(library_folder)["values"]["gpu-0/energy"]
    assert 0 < before <= after


def test_what_a_gpu_does_not_report_has_a_reason_and_no_value(library_folder):
    report = read(library_folder)
    assert "gpu-1/power" not in report["values"]
    for figure in ("power", "memory_clock", "energy"):
        assert report["unavailable"][f"gpu-1/{figure}"] == "this GPU does not report it"
    assert "gpu" not in report["unavailable"]


def test_what_an_old_driver_lacks_has_a_reason_and_the_rest_goes_on(old_library_folder):
    report = read(old_library_folder)
    for figure in ("throttle", "energy", "power_limit"):
        assert report["unavailable"][f"gpu-0/{figure}"] == "this driver's NVML does not have the call"
    assert report["values"]["gpu-0/power"] == [71.5] * 2


def test_a_call_that_the_installed_pynvml_lacks_has_a_reason_and_the_rest_goes_on(library_folder):
    report = run("import pynvml\ndel pynvml.nvmlDeviceGetTemperature\n" + READ, library_folder, ["2"], {})
    assert report["unavailable"]["gpu-0/temperature"] == "the installed nvidia-ml-py no longer has the call"
    assert report["values"]["gpu-0/power"] == [71.5] * 2


def test_a_gpu_that_is_lost_ends_its_lanes_and_no_others(library_folder):
    report = read(library_folder, rounds=4, FAKE_NVML_LOST="2")
    assert report["unavailable"]["gpu-1"] == "the GPU fell off the bus while it was being watched"
    assert {key: len(values) for key, values in report["values"].items() if "utilisation" in key} == {
        "gpu-0/utilisation": 4,
        "gpu-1/utilisation": 2,
    }
    assert "gpu-1/memory" not in report["unavailable"]  # one reason, not one for each figure


def test_a_driver_that_disappears_ends_all_lanes_with_one_reason(library_folder):
    report = read(library_folder, rounds=4, FAKE_NVML_GONE="4")
    assert report["unavailable"]["gpu"] == "the NVIDIA driver stopped answering: NVML is no longer initialised"
    assert {len(report["values"][f"gpu-{index}/utilisation"]) for index in (0, 1)} == {2}


@pytest.mark.parametrize(("failures", "left", "reasons"), [("2", 3, 0), ("9", 0, 1)])
def test_an_error_that_passes_is_tried_again_a_few_times(library_folder, failures, left, reasons):
    report = read(library_folder, rounds=5, FAKE_NVML_FLAKY=failures, FAKE_NVML_COUNT="1")
    assert len(report["values"].get("gpu-0/temperature", [])) == left
    assert sum(key == "gpu-0/temperature" for key in report["unavailable"]) == reasons


@pytest.mark.parametrize(("code", "words"), [("9", "driver is not loaded"), ("18", "restarted since"), ("999", "NVML says")])
def test_a_driver_that_does_not_work_is_a_reason(library_folder, code, words):
    report = read(library_folder, FAKE_NVML_INIT=code)
    assert report["gpus"] == []
    assert report["values"] == {}
    assert words in report["unavailable"]["gpu"]


def test_a_driver_without_a_gpu_is_a_reason(library_folder):
    assert "no GPU" in read(library_folder, FAKE_NVML_COUNT="0")["unavailable"]["gpu"]


def test_no_library_is_a_reason(tmp_path):
    """With a library that cannot be loaded, which also hides a real one."""
    (tmp_path / "libnvidia-ml.so.1").write_text("this is no library")
    report = read(tmp_path)
    assert report["values"] == {}
    assert "libnvidia-ml" in report["unavailable"]["gpu"]


@pytest.mark.parametrize(
    ("used", "settings", "expected"),
    [
        ([(0, B)], {}, {"gpu-1"}),
        ([(0, None)], {"visible": "1"}, {"gpu-1"}),
        ([(0, None)], {"visible": "1", "order": "PCI_BUS_ID"}, {"gpu-1"}),
        ([(1, None)], {"visible": "GPU-bbbb, GPU-aaaa"}, {"gpu-0"}),
        ([(0, A), (1, B)], {"visible": "0,1"}, {"gpu-0", "gpu-1"}),
    ],
)
def test_only_the_gpus_that_a_trial_uses_are_sampled_from_its_begin_on(library_folder, tmp_path, used, settings, expected):
    report = sample_trial(library_folder, tmp_path, used, **settings)
    assert report["before"] == [0, 0]
    assert gpus_of(report) == expected
    assert report["utilisations"] == 3 * len(expected)  # the samples from before the report were held back
    assert not report["unavailable"].keys() & {"gpu", "gpu_devices"}
    assert report["seconds"] > 0


def test_a_trial_without_a_gpu_shows_all_of_the_machine_and_says_so(library_folder, tmp_path):
    report = sample_trial(library_folder, tmp_path, [])
    assert gpus_of(report) == {"gpu-0", "gpu-1"}
    assert report["unavailable"]["gpu_devices"].startswith("a GPU of the trial's own: it uses none; what NVML says is of all 2 GPUs")


def test_a_trial_that_ends_before_its_first_step_keeps_what_was_sampled(library_folder, tmp_path):
    assert sample_trial(library_folder, tmp_path, None)["utilisations"] == 6


def test_a_machine_without_a_gpu_has_one_reason(library_folder, tmp_path):
    assert list(sample_trial(library_folder, tmp_path, [], FAKE_NVML_COUNT="0")["unavailable"]) == ["gpu"]


def test_a_gpu_that_cannot_be_found_is_a_reason_and_no_other_is_shown_for_it(library_folder, tmp_path):
    report = sample_trial(library_folder, tmp_path, [(0, "eeeeeeee-1111")])
    assert report["keys"] == []
    assert "cuda:0" in report["unavailable"]["gpu"]


@pytest.mark.parametrize(("uuid", "number"), [(B, 1), ("eeeeeeee-1111", None), (None, None)])
def test_a_device_that_is_none_of_cuda_is_found_by_its_uuid_alone(uuid, number):
    device = UsedDevice("xpu:0", 0, uuid)
    assert find_device(device, UsedDevices((device,), visible="0"), [f"GPU-{A}", f"GPU-{B}"], same_model=True) == number


def test_of_a_part_of_a_gpu_only_the_memory_is_its_own(library_folder, tmp_path):
    report = sample_trial(library_folder, tmp_path, [(0, "dddddddd-1111-2222-3333-444444444444")], FAKE_NVML_MIG="1")
    assert gpus_of(report) == {"gpu-0-mig-2"}
    assert "gpu-0-mig-2/utilisation" not in report["keys"]
    assert "MIG" in report["unavailable"]["gpu-0-mig-2/utilisation"]
    report = read(library_folder, FAKE_NVML_MIG="1")
    assert report["values"]["gpu-0-mig-2/memory"] == [7, 7]
    assert report["labels"]["gpu-0-mig-2/power"] == "power of GPU 0, MIG 2 (Fake 100 MIG 1g), all of the GPU"
    assert "MIG" in report["unavailable"]["gpu-0/utilisation"]
    assert report["values"]["gpu-1/utilisation"]


def test_pcie_is_read_in_a_thread_of_its_own_and_only_on_request(library_folder, tmp_path):
    assert sample_trial(library_folder, tmp_path, [(0, A)])["pcie"] == {}
    report = sample_trial(library_folder, tmp_path, [(0, A)], pcie=True)
    assert report["pcie"] == {"gpu-0/pcie_received": [5_000_000, 20_000_000], "gpu-0/pcie_sent": [1_000_000, 20_000_000]}
    assert report["seconds"] < 0.04  # its waiting delays no other reading
    assert report["threads"] == ["MainThread"]
