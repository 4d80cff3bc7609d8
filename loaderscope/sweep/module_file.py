"""Finds the file of a module that is named as for `python -m`, without importing anything."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from importlib.machinery import PathFinder

from loaderscope.sweep.interpreters import ASK_TIMEOUT_S, NoAnswerError, run_question
from loaderscope.sweep.processes.agent_environment import default_python

_QUESTION = "import json, sys; print(json.dumps({'path': sys.path[1:]}))"


class NoModuleError(Exception):
    """There is no module of that name that could be run; the message is one sentence for the user."""


def module_file(name: str, cwd: str, python: str | None = None) -> str:
    """Returns the path of the file that `python -m NAME` runs in a folder; that of a package is its `__main__.py`.

    Args:
        name: dotted name of the module.
        cwd: the folder, which Python searches first.
        python: the interpreter; None for the one that runs the app.

    Raises:
        NoModuleError: there is no such module, or it has no source.
    """
    folders = [cwd, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    path = _find(name, folders) or _find(name, _search_path(python or default_python()))
    if path is None:
        raise NoModuleError(f"there is no module {name} that can be run in {cwd}, nor among the installed packages")
    if not path.endswith(".py"):
        raise NoModuleError(f"the module {name} has no Python source: {path}")
    return os.path.abspath(path)


def _find(name: str, folders: Sequence[str]) -> str | None:
    parts = name.split(".")
    spec, searched = None, list(folders)
    while parts:
        # by its last name only: for a dotted name the finder would look for its package among the imported ones
        spec = PathFinder.find_spec(parts.pop(0), searched)
        if spec is None:
            return None
        searched = list(spec.submodule_search_locations or ())
        if not parts and searched:
            parts = ["__main__"]
    return None if spec is None else spec.origin


def _search_path(python: str | None) -> list[str]:
    """Returns the folders in which an interpreter searches for modules; none if it does not say."""
    if python is None:
        return []
    try:
        return list(map(str, run_question(python, _QUESTION, ASK_TIMEOUT_S)["path"]))
    except (OSError, subprocess.TimeoutExpired, NoAnswerError):
        return []
