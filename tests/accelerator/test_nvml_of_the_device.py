"""The NVML of tests/telemetry reports the simulated accelerator, as NVIDIA's reports a GPU."""

import json
import os
import struct
import subprocess
import sys
import time
import uuid

import pytest
import torch
from accelerator_log import Kind
from agent_interpreter import CHOSEN_PYTHON
from nvml_library import build

from loaderscope.session.file import SessionFile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHOSEN_PYTHON is not None, reason="the accelerator is built for the torch of another interpreter"),
]

MS = 1_000_000
READ = """
import json, time
from loaderscope.telemetry.nvml import Nvml
nvml, readings = Nvml(), []
for _ in range(5):
    readings.append({sample.info.label: sample.value for sample in nvml.read_fast(nvml.devices, 0)})
    time.sleep(0.03)
print(json.dumps({"gpus": [gpu.to_json() for gpu in nvml.gpus], "readings": readings}))
"""


def be_busy_half_of_the_time():
    """Plans 30 s of work in periods of 10 ms, the begins of which device 0 learns from device 1."""
    first, second = (torch.ones(1, device=f"simgpu:{index}") for index in range(2))
    streams = [torch.accelerator.current_stream(f"simgpu:{index}") for index in range(2)]
    event = torch.Event(device="simgpu:1")
    for _ in range(3_000):
        torch.simgpu.busy(second, 10_000)
        event.record(streams[1])
        streams[0].wait_event(event)
        torch.simgpu.busy(first, 5_000)


def uuids_in_torch():
    return [str(torch.simgpu.get_device_properties(index).uuid) for index in range(2)]


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("nvml"))


def environment_of(library_folder, log_stem):
    """The environment in which a process finds this NVML and the accelerator's logs."""
    return {**os.environ, "LD_LIBRARY_PATH": str(library_folder), "LOADERSCOPE_TEST_ACCELERATOR_LOG": str(log_stem)}


def read(library_folder, log_stem):
    """What NVML reports, and the utilisations of each device."""
    done = subprocess.run([sys.executable, "-c", READ], env=environment_of(library_folder, log_stem), capture_output=True, check=True)
    facts = json.loads(done.stdout)
    return facts["gpus"], [
        [value for reading in facts["readings"] for label, value in reading.items() if label.startswith(f"utilisation of GPU {index}")]
        for index in range(2)
    ]


def write_log(stem, pid, records):
    """A log as a process writes it."""
    rows = b"".join(struct.pack("=5q", *record) for record in records)
    stem.with_name(f"{stem.name}.{pid}").write_bytes(struct.pack("=q", len(records)) + rows + bytes(400))


def test_nvml_reads_the_load_of_the_device(library_folder, fresh_device_process):
    fresh_device_process.run(be_busy_half_of_the_time)
    _, (first, second) = read(library_folder, fresh_device_process.log_stem)
    assert len(first) == len(second) == 5
    assert all(35 <= value <= 65 for value in first)
    assert set(second) == {100.0}


def test_work_of_all_processes_counts_once_and_waits_of_the_host_do_not_count(library_folder, tmp_path):
    began_ns, periods = time.perf_counter_ns(), range(0, 30_000 * MS, 10 * MS)
    for pid, low_ms, high_ms in [(1, 1, 4), (2, 3, 7)]:
        work = [(Kind.KERNEL, 0, pid, began_ns + at + low_ms * MS, began_ns + at + high_ms * MS) for at in periods]
        write_log(tmp_path / "log", pid, [*work, (Kind.WAIT_FOR_DEVICE, 0, -1, began_ns, began_ns + periods.stop)])
    _, (first, second) = read(library_folder, tmp_path / "log")
    assert set(first) == {60.0}
    assert set(second) == {0.0}


def test_nvml_and_torch_give_a_device_one_uuid_and_one_name(library_folder, device_process, tmp_path):
    gpus, _ = read(library_folder, tmp_path / "log")
    assert [uuid.UUID(gpu["uuid"].removeprefix("GPU-")) for gpu in gpus] == list(map(uuid.UUID, device_process.run(uuids_in_torch).value))
    assert {gpu["name"] for gpu in gpus} == {"Simulated accelerator"}


SCRIPT = """
import time
import torch
from torch.utils.data import Dataset

class Waiting(Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        time.sleep(0.0005)
        return torch.full((1000,), float(index))

train_set = Waiting()

def make_train_step():
    weights = torch.ones(1, device="simgpu:1")
    return lambda batch: torch.simgpu.busy(weights, 10_000)
"""


def test_a_session_shows_the_device_of_the_trial_by_its_name_and_no_other_device(library_folder, write_device_script, tmp_path):
    script, session_path = write_device_script(SCRIPT), tmp_path / "session.loaderscope"
    command = [sys.executable, "-m", "loaderscope", "run", str(script.path), "--num-workers", "0", "--batch-size", "4", "--no-probe"]
    options = ["--repeat-disturbed", "0", "--batches", "150", "--epochs", "1", "--step", "script", "-o", str(session_path)]
    subprocess.run([*command, *options], env=environment_of(library_folder, script.log_stem), check=True, capture_output=True)
    with SessionFile.open(session_path) as session:
        trace = session.trace(session.results[0].id)
    of_gpus = {info.label: columns.view()["value"] for info, columns in trace.series.values() if info.key.startswith("gpu")}
    assert of_gpus
    assert all("GPU 1 (Simulated accelerator)" in label for label in of_gpus)
    assert max(of_gpus["utilisation of GPU 1 (Simulated accelerator)"]) > 60
