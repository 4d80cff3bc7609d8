"""Runs the controls of the start-up experiment: times a bare interpreter and the imports of numpy and torch, without any loader.

One more control starts a fork server that preloads: before the trials, and before each trial that has such a server.

Each control runs in the user's interpreter, in a process that is watched and reaped like an agent's. On Linux, the files that the
import reads are first dropped from the page cache, which any user may do. Pages that another process has mapped stay, so each control
also reports the share that really came from disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loaderscope.agent.error_sentences import end_of_process
from loaderscope.agent.messages import MARK_VARIABLE
from loaderscope.facts.remedies import CONTROLS, PRELOAD
from loaderscope.facts.startup_results import Control
from loaderscope.sweep.processes.agent_environment import interpreter_environment
from loaderscope.sweep.processes.agent_process import TICK_S, Tick
from loaderscope.sweep.processes.reaper import create_reaper
from loaderscope.sweep.processes.temporary_folders import temporary_folder

_ANSWER, _ERRORS = "answer.json", "errors.txt"

_IMPORT = r"""
import sys, time
answer_file, modules = sys.argv[1], sys.argv[2:]
for module in modules:
    __import__(module)
done_ns, cpu_s = time.perf_counter_ns(), time.process_time()
del sys.path[0]
import json, os
def lines(name):
    try:
        with open("/proc/self/" + name) as file:
            return file.read().splitlines()
    except (OSError, UnicodeError):
        return []
def numbers(name):
    parts = (line.replace(":", " ").split() for line in lines(name))
    return {part[0]: int(part[1]) for part in parts if len(part) > 1 and part[1].isdigit()}
files = {line.split(None, 5)[5] for line in lines("maps") if line.count("/") and len(line.split(None, 5)) == 6}
for module in list(sys.modules.values()):
    for name in ("__file__", "__cached__"):
        path = getattr(module, name, None)
        if isinstance(path, str):
            files.add(path)
counted, resident = numbers("io"), numbers("status").get("RssFile")
read = None if resident is None or "rchar" not in counted else counted["rchar"] + resident * 1024
answer = {"done_ns": done_ns, "cpu_s": cpu_s, "from_disk": counted.get("read_bytes"), "needed": read, "files": sorted(files)}
with open(answer_file, "w", encoding="utf-8", errors="surrogateescape") as file:
    json.dump(answer, file)
os._exit(0)
"""
"""For Python 3.9. It exits at once, because the end of the interpreter is not part of a start.

`needed`: the bytes of all read calls, and of the touched pages of mapped files.
"""

_SERVER = r"""
import json, multiprocessing.popen_forkserver, os, sys, time
answer_file, sys.path[0], modules = sys.argv[1], sys.argv[2], sys.argv[3:]
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(modules)
child = context.Process(target=os.getpid)
begun_ns = time.perf_counter_ns()
try:
    child.start()
except (EOFError, OSError):
    sys.exit(1)  # the server has printed why it ended
done_ns = time.perf_counter_ns()
child.join()
with open(answer_file, "w", encoding="utf-8") as file:
    json.dump({"done_ns": done_ns, "start_ns": done_ns - begun_ns}, file)
"""
"""For Python 3.9. The start of the first child includes the start of its server, which skips modules that it cannot import.

It exits as any program does, because multiprocessing then removes the server's socket.
"""


class ControlError(Exception):
    """A control could not be measured; the text is one sentence."""


def measure_controls(python: str, timeout_s: float, tick: Tick | None = None) -> list[Control]:
    """Runs all controls, one after another.

    Args:
        python: the user's interpreter.
        timeout_s: how long each run may take.
        tick: called about every 0.1 s; an exception that it raises ends the control's process and passes through.

    Returns:
        One row for each control; its `error` says why it could not be measured.
    """
    return [_measure(python, name, timeout_s, tick) for name in CONTROLS]


def measure_preload(
    python: str,
    modules: Sequence[str],
    folder: str,
    *,
    cwd: str | None,
    variables: Mapping[str, str] | None = None,
    timeout_s: float,
    tick: Tick | None = None,
) -> Control:
    """Starts a fork server that preloads modules, and one that does not.

    Args:
        python: the user's interpreter.
        modules: the modules to preload.
        folder: the server looks for modules there, too, besides the installed ones.
        cwd: its working directory; None: the caller's.
        variables: to be set in its environment.
        timeout_s: how long each run may take.
        tick: see `measure_controls`.
    """

    def start_s(*preloaded: str) -> float:
        _, answer = _run(python, _SERVER, [folder, *preloaded], timeout_s, tick, cwd=cwd or os.getcwd(), variables=variables)
        return float(answer["start_ns"]) / 1e9

    try:
        plain_s, preloading_s = start_s(), start_s(*modules)
    except ControlError as error:
        return Control(PRELOAD, error=str(error), modules=list(modules))
    return Control(PRELOAD, again_s=preloading_s, modules=list(modules), import_s=preloading_s - plain_s)


def drop_from_cache(paths: Iterable[str]) -> bool:
    """Asks the system to drop the cached contents of files, which do not change; returns False if the system has no such call."""
    if sys.platform != "linux":
        return False
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            pass  # not a regular file
        finally:
            os.close(descriptor)
    return True


def _measure(python: str, name: str, timeout_s: float, tick: Tick | None) -> Control:
    modules = () if name == "python" else (name,)
    try:
        first_s, first = _run(python, _IMPORT, modules, timeout_s, tick)
        dropped = drop_from_cache(first["files"])
        if dropped:
            first_s, first = _run(python, _IMPORT, modules, timeout_s, tick)
        again_s, again = _run(python, _IMPORT, modules, timeout_s, tick)
    except ControlError as error:
        return Control(name, error=str(error))
    share = min(1.0, first["from_disk"] / first["needed"]) if first["needed"] and first["from_disk"] is not None else None
    return Control(name, first_s, again_s, share, again_cpu_s=again["cpu_s"], cache_was_dropped=dropped)


def _run(
    python: str,
    code: str,
    words: Sequence[str],
    timeout_s: float,
    tick: Tick | None,
    *,
    cwd: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> tuple[float, dict[str, Any]]:
    """Runs `code` in the interpreter; returns the seconds from the process's start to its `done_ns`, and its answer."""
    reaper = create_reaper()
    try:
        with temporary_folder() as folder:
            with open(os.path.join(folder, _ERRORS), "wb") as stderr:
                began_ns = time.perf_counter_ns()
                process = subprocess.Popen(
                    [python, "-c", code, os.path.join(folder, _ANSWER), *words],
                    cwd=cwd or folder,  # an empty folder, in which nothing shadows a module
                    env={**interpreter_environment(python), **(variables or {}), MARK_VARIABLE: reaper.mark},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    **reaper.popen_options(),
                )
                try:
                    reaper.adopt(process)
                    status = _wait(process, timeout_s, tick)
                finally:
                    reaper.kill()
                    process.wait()
            return _read_answer(folder, words, status, began_ns)
    except OSError as error:
        raise ControlError(f"{python} cannot be started: {error.strerror or error}.") from error
    finally:
        reaper.close()


def _wait(process: subprocess.Popen[bytes], timeout_s: float, tick: Tick | None) -> int:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return process.wait(TICK_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise ControlError(f"It did not end within {timeout_s:g} s (--load-timeout).") from None
        if tick is not None:
            tick()


def _read_answer(folder: Path, words: Sequence[str], status: int, began_ns: int) -> tuple[float, dict[str, Any]]:
    waited_s = (time.perf_counter_ns() - began_ns) / 1e9
    try:
        answer = json.loads((folder / _ANSWER).read_text("utf-8", "surrogateescape"))
        seconds = (answer["done_ns"] - began_ns) / 1e9
    except (OSError, ValueError, KeyError, TypeError):
        errors = (folder / _ERRORS).read_text("utf-8", "replace").strip().splitlines()
        missing = [name for name in words if f"'{name}'" in errors[-1]] if errors else []
        if missing and errors[-1].startswith("ModuleNotFoundError"):
            raise ControlError(f"This interpreter has no {missing[0]}.") from None
        raise ControlError(f"The interpreter {end_of_process(status).words}{f': {errors[-1]}' if errors else ''}.") from None
    return (seconds if 0 < seconds <= waited_s else waited_s), answer
