"""The interpreter that has the frameworks, and the surroundings in which their scripts run."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import subprocess

import pytest
from framework_scripts import FrameworkScript
from frameworks_python import PYTHON_VARIABLE, offline_environment

_ADVICE = (
    "make an environment of its own, `pip install -r packaging/constraints-frameworks.txt` in it, "
    f"and name its interpreter in {PYTHON_VARIABLE}"
)
_MISSING = "import importlib.util, json, sys; print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]))"


@pytest.fixture
def interpreter(script: FrameworkScript) -> str:
    """The path of an interpreter that has the libraries of the test's script; without one the test is skipped."""
    path = os.environ.get(PYTHON_VARIABLE)
    if not path:
        pytest.skip(f"no interpreter with the frameworks is named: {_ADVICE}")
    missing = _missing(path, ("torch", *script.libraries))
    if missing:
        pytest.skip(f"{path} lacks {', '.join(missing)}: {_ADVICE}")
    return path


@functools.cache
def _missing(python: str, modules: tuple[str, ...]) -> list[str]:
    done = subprocess.run([python, "-c", _MISSING, *modules], check=True, capture_output=True, text=True)
    missing: list[str] = json.loads(done.stdout)
    return missing


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An empty working directory for a script. Libraries keep their caches in it, and reach no network."""
    for name, value in offline_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    work = tmp_path / "work"
    work.mkdir()
    return work
