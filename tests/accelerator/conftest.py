"""The simulated accelerator for tests: built once, loaded in a process of its own or by the script of a trial."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import simgpu
from accelerator_library import library_for_agent
from accelerator_log import Record, read_log
from device_script import DeviceScript, write_script_on_device


@pytest.fixture(scope="session")
def simgpu_library() -> pathlib.Path:
    """The library for the agent's torch; skips the test where there can be none."""
    library, reason = library_for_agent()
    if library is None:
        pytest.skip(reason)
    return library


class Outcome(NamedTuple):
    """The value that a function returned, and the records that the accelerator logged meanwhile."""

    value: Any
    records: list[Record]


@dataclasses.dataclass(frozen=True)
class DeviceProcess:
    """A process that has loaded the accelerator: it must not be loaded in pytest's, where other tests find no accelerator."""

    executor: concurrent.futures.Executor
    log_stem: pathlib.Path

    def run(self, function: Callable[..., Any], *arguments: Any) -> Outcome:
        """Calls a function of a module in that process."""
        count = len(read_log(self.log_stem))
        value = self.executor.submit(function, *arguments).result()
        return Outcome(value, read_log(self.log_stem)[count:])


@contextlib.contextmanager
def _started(library: pathlib.Path, folder: pathlib.Path, in_real_time: bool = False) -> Iterator[DeviceProcess]:
    log_stem = folder / "log"
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context, simgpu.load, (str(library), str(log_stem), in_real_time)) as executor:
        yield DeviceProcess(executor, log_stem)


@pytest.fixture(scope="module")
def device_process(simgpu_library: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceProcess]:
    """A process that the tests of a module share."""
    with _started(simgpu_library, tmp_path_factory.mktemp("accelerator")) as process:
        yield process


@pytest.fixture(scope="module")
def real_time_device_process(simgpu_library: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceProcess]:
    """A process whose streams work in real time, shared by the tests of a module."""
    with _started(simgpu_library, tmp_path_factory.mktemp("accelerator"), in_real_time=True) as process:
        yield process


@pytest.fixture(params=["device_process", "real_time_device_process"], ids=["planned", "real-time"])
def any_device_process(request: pytest.FixtureRequest) -> DeviceProcess:
    """Each of the two processes in turn."""
    process: DeviceProcess = request.getfixturevalue(request.param)
    return process


@pytest.fixture
def fresh_device_process(simgpu_library: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[DeviceProcess]:
    """A process that has not used the device yet."""
    with _started(simgpu_library, tmp_path) as process:
        yield process


@pytest.fixture
def write_device_script(simgpu_library: pathlib.Path, tmp_path: pathlib.Path) -> Callable[[str], DeviceScript]:
    """Writes a script that can use the device `simgpu`, with its functions in `torch.simgpu`."""
    return lambda text: write_script_on_device(simgpu_library, tmp_path, text)
