"""The real pynvml on a small libnvidia-ml of our own, in a process of its own, as a library is loaded once."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from loaderscope.telemetry.nvml import throttling_in_words

SOURCE = pathlib.Path(__file__).parent / "fake_nvml.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
READ = """
import json
from loaderscope.telemetry.nvml import Nvml
nvml = Nvml()
samples = [sample for round in range(2) for sample in (*nvml.fast(7), *nvml.slow(8))]
print(json.dumps({
    "gpus": [gpu.to_json() for gpu in nvml.gpus],
    "values": {sample.info.key: sample.value for sample in samples},
    "windows": {sample.info.key: sample.info.window_ns for sample in samples},
    "unavailable": nvml.unavailable,
}))
nvml.close()
"""


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    if COMPILER is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and Linux")
    folder = tmp_path_factory.mktemp("nvml")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-w", "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)], check=True)
    return folder


def read(folder: pathlib.Path, **environment: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", READ], env={**os.environ, "LD_LIBRARY_PATH": str(folder), **environment}, capture_output=True, check=True
    )
    return json.loads(done.stdout)


def test_values_come_with_unit_window_and_uuid(library_folder):
    told = read(library_folder)
    assert [(gpu["uuid"], gpu["name"], gpu["memory_bytes"]) for gpu in told["gpus"]] == [
        ("GPU-aaaa", "Fake 100", 1000),
        ("GPU-bbbb", "Fake 100", 1000),
    ]
    values = told["values"]
    assert (values["gpu-0/utilisation"], values["gpu-1/utilisation"]) == (40, 41)
    assert (values["gpu-0/memory"], values["gpu-0/power"], values["gpu-0/temperature"]) == (250, 71.5, 55)
    assert (values["gpu-0/sm_clock"], values["gpu-0/memory_clock"]) == (1800, 9000)
    assert 1e9 / 6 - 1 <= told["windows"]["gpu-0/utilisation"] <= 1e9
    assert told["windows"]["gpu-0/memory"] == 0


def test_what_a_gpu_does_not_report_has_a_reason_and_no_value(library_folder):
    told = read(library_folder)
    assert "gpu-1/power" not in told["values"]
    assert told["unavailable"]["gpu-1/power"] == "this GPU does not report it"
    assert told["unavailable"]["gpu-1/memory_clock"] == "this GPU does not report it"
    assert "gpu-0/throttle" not in told["values"]
    assert told["unavailable"]["gpu-0/throttle"] == "this driver's NVML does not have the call"
    assert "gpu" not in told["unavailable"]


@pytest.mark.parametrize(("code", "words"), [("9", "driver is not loaded"), ("18", "restarted since"), ("999", "NVML says")])
def test_a_driver_that_does_not_work_is_a_reason(library_folder, code, words):
    told = read(library_folder, FAKE_NVML_INIT=code)
    assert told["gpus"] == []
    assert told["values"] == {}
    assert words in told["unavailable"]["gpu"]


def test_a_driver_without_a_gpu_is_a_reason(library_folder):
    assert "no GPU" in read(library_folder, FAKE_NVML_COUNT="0")["unavailable"]["gpu"]


def test_no_library_is_a_reason(tmp_path):
    """With a library that cannot be loaded, which also hides a real one."""
    (tmp_path / "libnvidia-ml.so.1").write_text("this is no library")
    told = read(tmp_path)
    assert told["values"] == {}
    assert "libnvidia-ml" in told["unavailable"]["gpu"]


def test_a_power_cap_is_no_throttling():
    assert throttling_in_words(0x04) == []
    assert throttling_in_words(0x04 | 0x40) == ["hardware thermal slowdown"]
