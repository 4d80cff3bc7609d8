"""Builds the simulated accelerator, once for each state of its sources and each version of torch."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from agent_interpreter import value_in_agent

_SOURCES = pathlib.Path(__file__).parent / "source"
_COMPILER = "g++"
_FLAGS = ("-O1", "-fPIC", "-std=c++20", "-Wall")
_INCLUDES = ("include", "include/torch/csrc/api/include", "include/kineto")
_OLDEST_TORCH = (2, 13)
"""The oldest version with which the sources were compiled."""


def library_for_agent() -> tuple[pathlib.Path | None, str]:
    """Returns the library for the agent's torch, or None and the reason in one sentence."""
    torch_file, torch_version = value_in_agent("[torch.__file__, str(torch.__version__)]")
    torch_folder = pathlib.Path(torch_file).parent
    reason = why_unavailable(torch_folder, torch_version)
    return (None, reason) if reason else (built_library(torch_folder, torch_version), "")


def why_unavailable(torch_folder: pathlib.Path, torch_version: str) -> str:
    """Why the accelerator cannot be built here, in one sentence; "" if it can."""
    if not sys.platform.startswith("linux"):
        return "the simulated accelerator uses system calls of Linux"
    if tuple(map(int, torch_version.split(".")[:2])) < _OLDEST_TORCH:
        return f"the simulated accelerator needs torch {'.'.join(map(str, _OLDEST_TORCH))}, and this is torch {torch_version}"
    if shutil.which(_COMPILER) is None:
        return f"the simulated accelerator needs {_COMPILER}, which is not installed"
    if not (torch_folder / "include/ATen/ATen.h").exists():
        return "the simulated accelerator needs torch's header files, which this torch lacks"
    return ""


def built_library(torch_folder: pathlib.Path, torch_version: str) -> pathlib.Path:
    """Returns the library for this torch, from the user's cache folder if it was built before.

    Raises:
        subprocess.CalledProcessError: the sources do not compile.
    """
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "loaderscope-tests"
    library = cache / f"simgpu-{_key(torch_folder, torch_version)}.so"
    import fcntl  # Windows, where the accelerator is not available, has no such module

    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run that needs the library waits for it
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                _build(torch_folder, pathlib.Path(folder)).replace(library)  # at once, so that a build that is killed leaves none
    return library


def _key(torch_folder: pathlib.Path, torch_version: str) -> str:
    digest = hashlib.sha256(repr((str(torch_folder), torch_version, _FLAGS)).encode())
    for path in sorted(_SOURCES.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(torch_folder: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    includes = [f"-I{torch_folder / name}" for name in _INCLUDES]

    def compile_one(source: pathlib.Path) -> pathlib.Path:
        compiled = folder / f"{source.stem}.o"
        subprocess.run([_COMPILER, *_FLAGS, *includes, "-c", str(source), "-o", str(compiled)], check=True)
        return compiled

    largest_first = sorted(_SOURCES.glob("*.cpp"), key=lambda source: source.stat().st_size, reverse=True)  # it takes longest
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        compiled = list(threads.map(compile_one, largest_first))
    library, torch_libraries = folder / "simgpu.so", torch_folder / "lib"
    links = [f"-L{torch_libraries}", "-lc10", "-ltorch_cpu", "-ltorch", f"-Wl,-rpath,{torch_libraries}"]
    subprocess.run([_COMPILER, "-shared", *map(str, compiled), "-o", str(library), *links], check=True)
    return library
