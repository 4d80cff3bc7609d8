"""Examines a machine and an interpreter: what they offer to a sweep, and what is likely to go wrong."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import subprocess
import sys
from typing import Any

from loaderscope.facts.text import bytes_text
from loaderscope.sweep.interpreters import NoAnswerError, ask, list_interpreters, run_question
from loaderscope.sweep.machine import Machine, read_machine
from loaderscope.sweep.machine_limits import CUDA_COMMIT_BYTES, DataCost, commit_sentence
from loaderscope.telemetry.nvml import Nvml

IMPORT_TIMEOUT_S = 120.0
LITTLE_SHARED_MEMORY_BYTES = 1 << 30
FEW_OPEN_FILES = 1024
OLDEST_TORCH = (2, 1)

_QUESTION = """
import json, multiprocessing, sys
answer = {"start_methods": multiprocessing.get_all_start_methods(), "default_start_method": multiprocessing.get_start_method()}
import torch, torch.multiprocessing
gil = getattr(sys, "_is_gil_enabled", None)
answer.update(
    free_threaded=gil is not None and not gil(),
    cuda_available=torch.cuda.is_available(), cuda_devices=torch.cuda.device_count(), torch_threads=torch.get_num_threads(),
    sharing_strategy=torch.multiprocessing.get_sharing_strategy(),
)
print(json.dumps(answer))
"""


def examine(python: str | None = None, window_problem: str | None = None) -> dict[str, Any]:
    """Examines this machine, one interpreter closely, and the others briefly.

    Args:
        python: the interpreter to examine closely; None: the one that runs the app.
        window_problem: why no window can be opened here, which only the layer above knows; None: one can.

    Returns:
        Plain JSON values: `app`, `interpreter` (its `error` is None if trials can run in it), `interpreters`, `nvml`, `machine`, and
        `advice`, sentences about what is likely to go wrong.
    """
    machine = read_machine()
    interpreter = _examine_interpreter(python or sys.executable)
    nvml = Nvml()
    try:
        gpus = {"reason": None if nvml.gpus else nvml.unavailable.get("gpu"), "gpus": [gpu.to_json() for gpu in nvml.gpus]}
    finally:
        nvml.close()
    return {
        "app": {
            "python": platform.python_version(),
            "executable": sys.executable,
            "pyside6": _version("PySide6-Essentials"),
            "window_problem": window_problem,
        },
        "interpreter": interpreter,
        "interpreters": [dataclasses.asdict(other) for other in list_interpreters()],
        "nvml": gpus,
        "machine": {"platform": platform.platform(), **dataclasses.asdict(machine)},
        "advice": _advice(interpreter, machine, bool(gpus["gpus"])),
    }


def _examine_interpreter(path: str) -> dict[str, Any]:
    """Asks one interpreter about itself and, if it has torch, has it import torch and answer `_QUESTION`."""
    known = ask(path)
    facts: dict[str, Any] = {
        "path": path,
        "python": known.python,
        "torch": known.torch,
        "torch_cuda": known.torch_cuda,
        "free_threaded": None,
        "start_methods": [],
        "default_start_method": None,
        "cuda_available": None,
        "cuda_devices": None,
        "torch_threads": None,
        "sharing_strategy": None,
        "error": None,
    }
    if known.problem is not None:
        return facts | {"error": f"{path} {known.problem}"}
    if known.torch is None:
        return facts | {"error": f"{path} has no torch: choose the interpreter of an environment that has it with --python"}
    try:
        return facts | run_question(path, _QUESTION, IMPORT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return facts | {"error": f"importing torch takes longer than {IMPORT_TIMEOUT_S:.0f} s in {path}"}
    except OSError as error:
        return facts | {"error": f"{path} cannot be started: {error.strerror or error}"}
    except NoAnswerError as error:
        return facts | {"error": f"torch cannot be imported in {path}: {error}"}


def _advice(interpreter: dict[str, Any], machine: Machine, has_gpu: bool) -> list[str]:
    sentences = []
    if interpreter["torch"] is not None and _release(interpreter["torch"]) < OLDEST_TORCH:
        sentences.append(f"torch {interpreter['torch']} is older than {'.'.join(map(str, OLDEST_TORCH))}, the oldest that is supported.")
    if has_gpu and interpreter["error"] is None and not interpreter["cuda_available"]:
        build = "is a build for the CPU" if interpreter["torch_cuda"] is None else "finds no device it can use"
        sentences.append(f"There is a GPU, but the torch of this interpreter {build}.")
    free = machine.shared_memory_free_bytes
    if free is not None and free < LITTLE_SHARED_MEMORY_BYTES:
        sentences.append(
            f"/dev/shm has only {bytes_text(free)} free, and workers send their batches through it: a bus error is likely with large "
            "batches. "
            "In a container, start it with --shm-size or --ipc=host."
        )
    process_bytes = CUDA_COMMIT_BYTES if interpreter["torch_cuda"] is not None else None
    if (sentence := commit_sentence(machine, DataCost(main_bytes=process_bytes, worker_bytes=process_bytes))) is not None:
        sentences.append(sentence)
    if machine.usable_cpus < machine.cpu_count:
        sentences.append(
            f"Only {machine.usable_cpus} of {machine.cpu_count} processors may be used here; "
            "scripts that take os.cpu_count() workers start too many."
        )
    if machine.open_files_limit is not None and machine.open_files_limit < FEW_OPEN_FILES:
        sentences.append(
            f"A process may hold only {machine.open_files_limit} open files; many workers with large prefetch need more (ulimit -n)."
        )
    return sentences


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("+")[0].split(".")[:2] if part.isdigit())


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
