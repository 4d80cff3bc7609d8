"""Finds the Python interpreters of this machine and asks each for its versions of Python, torch and CUDA, without importing torch."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loaderscope.sweep.processes.agent_environment import interpreter_environment, is_frozen

ASK_TIMEOUT_S = 10.0
_LIST_TIMEOUT_S = 5.0
_AT_ONCE = 4
_VENV_NAMES = (".venv", "venv", "env", ".env")
_EXECUTABLE = re.compile(r"python(3(\.\d+)?)?(\.exe)?$")

_QUESTION = r"""
import json, os, re, sys
from importlib.machinery import PathFinder
answer = dict.fromkeys(("torch", "cuda", "hip"))
answer.update(python="%d.%d.%d" % sys.version_info[:3], executable=sys.executable, prefix=sys.prefix)
spec = PathFinder.find_spec("torch")
if spec is not None and spec.origin:
    text = open(os.path.join(os.path.dirname(spec.origin), "version.py"), encoding="utf-8").read()
    for key, name in (("torch", "__version__"), ("cuda", "cuda"), ("hip", "hip")):
        found = re.search(r"^%s\s*(?::[^=\n]*)?=\s*'([^']*)'" % name, text, re.M)
        answer[key] = found.group(1) if found else None
print(json.dumps(answer))
"""
"""Runs in the interpreter that is asked; torch/version.py holds plain assignments since torch 1.0."""


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """One interpreter. `problem`: why it does not answer, in words; the other facts are unknown then."""

    path: str
    source: str  # where it was found: "runs this app", "VIRTUAL_ENV", "venv near the script", "conda", "pyenv", "PATH" ...
    python: str | None = None
    torch: str | None = None
    torch_cuda: str | None = None
    prefix: str | None = None
    problem: str | None = None

    @property
    def has_torch(self) -> bool:
        return self.torch is not None

    def describe(self) -> str:
        """Its versions, or its problem, in a few words."""
        if self.problem is not None:
            return self.problem
        if self.torch is None:
            return f"Python {self.python}, no torch"
        build = self.torch_cuda if self.torch_cuda is not None else "CPU only"
        return f"Python {self.python}, torch {self.torch} ({build})"


class NoAnswerError(Exception):
    """An interpreter has given no answer. The text is the last line that it wrote to stderr, or says that there is none."""


def run_question(path: str, question: str, timeout_s: float) -> dict[str, Any]:
    """Runs a question in an interpreter: Python code that prints a JSON object in its last line.

    Returns:
        The object.

    Raises:
        OSError: the interpreter cannot be started.
        subprocess.TimeoutExpired: it takes longer than `timeout_s`.
        NoAnswerError: it prints no such object.
    """
    done = subprocess.run(
        [path, "-c", question],
        env=interpreter_environment(path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    try:
        answer = json.loads(done.stdout.decode("utf-8", errors="replace").strip().splitlines()[-1])
    except (ValueError, IndexError):
        answer = None
    if isinstance(answer, dict):
        return answer
    words = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
    raise NoAnswerError(words[-1] if words else "it gave no answer")


def ask(path: str, source: str = "", timeout_s: float = ASK_TIMEOUT_S) -> Interpreter:
    """Asks one interpreter for its versions; never raises."""
    try:
        answer = run_question(path, _QUESTION, timeout_s)
    except subprocess.TimeoutExpired:
        return Interpreter(path, source, problem=f"does not answer within {timeout_s:g} s")
    except OSError as error:
        return Interpreter(path, source, problem=f"cannot be started: {error.strerror or error}")
    except NoAnswerError as error:
        return Interpreter(path, source, problem=f"is no working Python: {error}")
    cuda = f"CUDA {answer['cuda']}" if answer["cuda"] else f"ROCm {answer['hip']}" if answer["hip"] else None
    return Interpreter(path, source, answer["python"], answer["torch"], cuda, answer["prefix"])


def list_interpreters(script: str | None = None, timeout_s: float = ASK_TIMEOUT_S) -> list[Interpreter]:
    """Finds the interpreters, each once: first those with torch, then those without, then those that fail; the nearest first in each group.

    Args:
        script: its folder and those above are searched for environments, too.
        timeout_s: how long each interpreter may take to answer; four are asked at a time.
    """
    candidates: dict[str, tuple[str, str]] = {}
    for path, source in _candidates(script):
        # python and python3 of one folder are the same; two venvs of one base differ, though both link to it
        key = os.path.join(os.path.dirname(os.path.abspath(path)), os.path.basename(os.path.realpath(path)))
        candidates.setdefault(key, (path, source))
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda item: ask(item[0], item[1], timeout_s), candidates.values()))
    unique: dict[tuple[str | None, str | None], Interpreter] = {}
    for answer in answers:
        unique.setdefault((answer.prefix or answer.path, answer.python), answer)
    return sorted(unique.values(), key=lambda one: (one.problem is not None, not one.has_torch))


def nearest_environment(script: str, other_than: str) -> str | None:
    """The interpreter of the active environment, or of one near the script, without asking whether it works; None if there is none."""
    others = (path for path, _ in _from_environments(script) if os.path.abspath(path) != os.path.abspath(other_than))
    return next(others, None)


def _candidates(script: str | None) -> Iterator[tuple[str, str]]:
    if not is_frozen():
        yield sys.executable, "runs this app"
    yield from _from_environments(script)
    for prefix in _conda_prefixes():
        yield from _from_prefix(prefix, "conda")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for prefix in _folders(pyenv / "versions"):
        yield from _from_prefix(prefix, "pyenv")
    if sys.platform == "win32":
        yield from _from_launcher()
    yield from _from_path()


def _from_environments(script: str | None) -> Iterator[tuple[str, str]]:
    """Interpreters of the environment that is active in the shell, and of those beside or above the script."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if active := os.environ.get(variable):
            yield from _from_prefix(Path(active), variable)
    if script is not None:
        folder = Path(script).resolve().parent
        for near in (folder, *list(folder.parents)[:3]):
            for name in _VENV_NAMES:
                yield from _from_prefix(near / name, "environment near the script")


def _from_prefix(prefix: Path, source: str) -> Iterator[tuple[str, str]]:
    """The interpreter of an environment of any kind; nothing if the folder is no environment."""
    names = ("Scripts/python.exe", "python.exe") if sys.platform == "win32" else ("bin/python", "bin/python3")
    for name in names:
        path = prefix / name
        if path.is_file():
            yield str(path), source
            return


def _conda_prefixes() -> Iterator[Path]:
    """The environments in conda's own list."""
    try:
        text = (Path.home() / ".conda" / "environments.txt").read_text(encoding="utf-8", errors="replace")
    except (OSError, RuntimeError):
        return
    for line in text.splitlines():
        if line.strip():
            yield Path(line.strip())


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(folder for folder in parent.iterdir() if folder.is_dir())
    except OSError:
        return []


def _from_launcher() -> Iterator[tuple[str, str]]:
    """Interpreters that Windows' `py -0p` lists: one a line, the path last, after a tag and perhaps a star."""
    try:
        done = subprocess.run(["py", "-0p"], capture_output=True, timeout=_LIST_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return
    for line in done.stdout.decode("utf-8", errors="replace").splitlines():
        path = re.search(r"([A-Za-z]:\\.*\.exe)\s*$", line)
        if path:
            yield path.group(1), "py launcher"


def _from_path() -> Iterator[tuple[str, str]]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if "WindowsApps" in folder or os.path.basename(folder) == "shims":
            continue  # stubs that open the store, and pyenv's scripts for interpreters that are listed anyway
        try:
            names = sorted(name for name in os.listdir(folder or ".") if _EXECUTABLE.match(name))
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK) and os.path.isfile(path):
                yield path, "PATH"
