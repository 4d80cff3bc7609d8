"""Watches the processes that the script starts while the agent searches for a DataLoader: they stop at its iter(), too.

The environment reaches all of them, whatever starts them: `child_hook`, first on PYTHONPATH, loads this module into each
Python, and `VARIABLE` says where to report. Forked children inherit the hooks of their parent. Where the script gives a child
an environment of its own, this module adds both to that.

A child runs this before any code of the user's: this module imports nothing that the child's Python has not loaded by itself.
"""

from __future__ import annotations

import os
import sys
from time import sleep

from .import_hook import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes a child's Python some milliseconds
    import types
    from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

VARIABLE = "LOADERSCOPE_LOOK"
"""`NUMBER:PASSED:FOLDER`: the number of the loader, how many were iterated before this process started, and where to report.

NUMBER is empty where each process looks for the loader with which it trains.
"""

SCRIPT_VARIABLE = "LOADERSCOPE_SCRIPT"
"""Name of the script that the app started."""

HOOK_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child_hook")

REPORT_SUFFIX = ".report"
"""A child that waits at its loader writes the file PID.report in the folder of the search."""

_OUR_PREFIX = "LOADERSCOPE_"
_PATH = "PYTHONPATH"
_FUNCTIONS_WITH_ENVIRONMENT = ("execve", "posix_spawn", "posix_spawnp")
"""Functions of `os` that take a new process's environment as their third argument."""

_SIGCONT = 18 if sys.platform.startswith("linux") else 19
"""The signal's number on Linux and on macOS, so that `signal` need not be imported before the user's code."""

_replaced: "List[Tuple[Any, str, Any]]" = []


class LoaderSearch:
    """The search for one of the DataLoaders that the script iterates.

    Attributes:
        number: which loader, counted from 0 along the line of parents; None: each process decides at each of its loaders.
        passed_count: how many loaders were iterated so far.
        folder: where children report.
    """

    def __init__(self, number: "Optional[int]", passed_count: int, folder: str) -> None:
        self.number = number
        self.passed_count = passed_count
        self.folder = folder
        self._seen: "List[Any]" = []  # kept alive, so that no two have the same id

    def matches(self, loader: "Any") -> bool:
        """Counts a loader at its first iter(), and returns whether it is the one that is searched for."""
        return self.count(loader) and self.passed_count - 1 == self.number

    def count(self, loader: "Any") -> bool:
        """Counts a loader, and returns whether this is its first iter()."""
        if any(loader is seen for seen in self._seen):
            return False
        self._seen.append(loader)
        self.passed_count += 1
        self.export()
        return True

    def forget(self) -> None:
        """Lets go of the loaders that were counted: the search has ended, and the script goes on."""
        self._seen.clear()

    def export(self) -> None:
        """Writes the search into the environment, where children find it."""
        os.environ[VARIABLE] = "%s:%d:%s" % ("" if self.number is None else self.number, self.passed_count, self.folder)


def start_watching(script: str, number: "Optional[int]", folder: str) -> LoaderSearch:
    """Starts a search: from now on every process that this one starts is watched.

    Args:
        script: name of the script.
        number: see `LoaderSearch`.
        folder: see `LoaderSearch`.
    """
    search = LoaderSearch(number, 0, folder)
    search.export()
    os.environ[SCRIPT_VARIABLE] = script
    os.environ[_PATH] = _prepend_hook_folder(os.environ.get(_PATH))
    _watch_process_starts()
    return search


def stop_watching() -> None:
    """Ends the watching of processes that start from now on; those that run already stay watched."""
    for name in (VARIABLE, SCRIPT_VARIABLE):
        os.environ.pop(name, None)
    others = [entry for entry in os.environ.get(_PATH, "").split(os.pathsep) if entry and entry != HOOK_FOLDER]
    if others:
        os.environ[_PATH] = os.pathsep.join(others)
    else:
        os.environ.pop(_PATH, None)
    while _replaced:
        owner, name, original = _replaced.pop()
        setattr(owner, name, original)


def watch_in_child(serve: "Callable[[Any, LoaderSearch], None]", look: "Callable[[Any, LoaderSearch], None]") -> None:
    """Takes up the search in a Python that a watched process has started, before any code of the user's runs.

    Args:
        serve: called with the loader that is searched for at its iter(); returns if the child is to go on.
        look: called with the first loader at its iter(), if the search is for the loader that trains; calls `made_loaders` for the others.
    """
    search = _from_environment()
    if search is None:
        return
    _watch_process_starts()
    when_imported("torch.utils.data.dataloader", lambda module: _watch_loaders(search, serve, look))


def _from_environment() -> "Optional[LoaderSearch]":
    number, _, rest = os.environ.get(VARIABLE, "").partition(":")
    passed_count, _, folder = rest.partition(":")
    if not passed_count.isdigit() or not folder or not (number.isdigit() or not number):
        return None
    return LoaderSearch(int(number) if number else None, int(passed_count), folder)


def _watch_loaders(search: LoaderSearch, serve: "Callable[[Any, LoaderSearch], None]", look: "Callable[[Any, LoaderSearch], None]") -> None:
    from . import made_loaders

    def on_iteration(loader: "Any") -> None:
        if search.number is not None and not search.matches(loader):
            return
        made_loaders.set_iteration_callback(None)
        try:
            (look if search.number is None else serve)(loader, search)
            search.forget()
        except BaseException:  # whatever went wrong, this process must not train
            _stop_forever()

    made_loaders.install()
    made_loaders.set_iteration_callback(on_iteration)


def _stop_forever() -> None:
    import time

    stop = getattr(sys.modules.get("signal"), "SIGSTOP", None)
    while True:
        if stop is not None:
            os.kill(os.getpid(), stop)
        time.sleep(1.0)


def _prepend_hook_folder(path: "Optional[str]") -> str:
    return HOOK_FOLDER if not path else HOOK_FOLDER + os.pathsep + path


def _watch_process_starts() -> None:
    when_imported("subprocess", _replace_execute_child)
    for name in _FUNCTIONS_WITH_ENVIRONMENT:
        if hasattr(os, name):
            _replace(os, name, _with_watched_environment(getattr(os, name)))
    if hasattr(os, "killpg"):
        _replace(os, "kill", _kill_that_blocks(os.kill, lambda pid: pid))
        _replace(os, "killpg", _kill_that_blocks(os.killpg, lambda group: -group))


def _kill_that_blocks(original: "Callable[..., Any]", as_pid: "Callable[[Any], Any]") -> "Callable[..., Any]":
    """A `kill` that blocks where it would reach a child that has reported: a watchdog would go on as after the end of a training."""

    def kill(number: "Any", signal: "Any") -> "Any":
        try:
            blocks = signal not in (0, _SIGCONT) and _reaches_reported_child(as_pid(number))
        except (TypeError, ValueError, OSError):
            blocks = False
        while blocks:
            try:
                sleep(3600.0)
            except BaseException:  # what a handler of the user's raises, KeyboardInterrupt included
                pass
        return original(number, signal)

    return kill


def _reaches_reported_child(pid: int) -> bool:
    """Whether a signal to `pid`, read as in `os.kill`, reaches another process that has reported."""
    search = _from_environment()
    if search is None:
        return False
    for name in os.listdir(search.folder):
        stem, found, _ = name.partition(REPORT_SUFFIX)
        child = int(stem) if found and stem.isdigit() else 0
        if child and child != os.getpid() and (pid == child if pid > 0 else os.getpgid(child) == (-pid or os.getpgrp())):
            return True
    return False


def _replace_execute_child(module: "types.ModuleType") -> None:
    original = module.Popen._execute_child  # its arguments differ between POSIX and Windows
    names = original.__code__.co_varnames[: original.__code__.co_argcount]
    if "env" not in names:
        return
    position = names.index("env")

    def _execute_child(*args: "Any", **kwargs: "Any") -> "Any":
        if len(args) > position:
            args = (*args[:position], watched_environment(args[position]), *args[position + 1 :])
        return original(*args, **kwargs)

    _replace(module.Popen, "_execute_child", _execute_child)


def _with_watched_environment(original: "Callable[..., Any]") -> "Callable[..., Any]":
    def start(path: "Any", argv: "Any", env: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        return original(path, argv, watched_environment(env), *args, **kwargs)

    return start


def _replace(owner: "Any", name: str, function: "Callable[..., Any]") -> None:
    _replaced.append((owner, name, getattr(owner, name)))
    setattr(owner, name, function)


def watched_environment(environment: "Any") -> "Any":
    """The environment of a new process with all that makes it a watched one; None stands for this process's own environment."""
    if VARIABLE not in os.environ:
        return environment
    if environment is None:
        if _has_hook(os.environ):
            return None
        environment = os.environ  # the script has set PYTHONPATH anew
    try:
        watched: "Dict[str, str]" = {os.fsdecode(name): os.fsdecode(value) for name, value in dict(environment).items()}
    except (TypeError, ValueError):
        return environment  # no process starts with that: let the call raise
    watched.update({name: value for name, value in os.environ.items() if name.startswith(_OUR_PREFIX)})
    if not _has_hook(watched):
        watched[_PATH] = _prepend_hook_folder(watched.get(_PATH))
    return watched


def _has_hook(environment: "Mapping[str, str]") -> bool:
    return HOOK_FOLDER in environment.get(_PATH, "").split(os.pathsep)
