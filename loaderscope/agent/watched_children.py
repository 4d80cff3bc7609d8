"""What the script starts while its loader is looked for: such children stop at their first iteration of a DataLoader, too.

The environment reaches them all, whatever starts them: `child_hook`, first on PYTHONPATH, brings this module into each
Python, and `VARIABLE` says where to report. Forked children have the hooks of their parent. Where the script gives a child an
environment of its own, both are added to that.

A child runs this before anything of the user's: nothing is imported here that its Python has not loaded by itself.
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
"""`NUMBER:PASSED:FOLDER`: which loader is wanted, how many were iterated before this process started, and where to report."""

SCRIPT_VARIABLE = "LOADERSCOPE_SCRIPT"
"""Name of the script that was started first."""

HOOK_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child_hook")

REPORT_SUFFIX = ".report"
"""A child that stands still at its loader says so in the file PID.report in the folder of the look."""

_OURS = "LOADERSCOPE_"
_PATH = "PYTHONPATH"
_WITH_ENVIRONMENT = ("execve", "posix_spawn", "posix_spawnp")
"""Functions of `os` that take a new process's environment as their third argument."""

_SIGCONT = 18 if sys.platform.startswith("linux") else 19
"""Of Linux, and of macOS; the module `signal` need not be loaded before the user's code."""

_replaced: "List[Tuple[Any, str, Any]]" = []


class WantedLoader:
    """The loader that is looked for; see `VARIABLE` for its attributes."""

    def __init__(self, number: int, passed: int, folder: str) -> None:
        self.number = number
        self.passed = passed
        self.folder = folder
        self._seen: "List[Any]" = []  # kept alive, so that no id comes twice

    def is_wanted(self, loader: "Any") -> bool:
        """Whether a loader that is about to be iterated is the wanted one; counts each at its first iter()."""
        if any(loader is seen for seen in self._seen):
            return False
        self._seen.append(loader)
        self.passed += 1
        self.tell()
        return self.passed == self.number + 1

    def tell(self) -> None:
        """Puts it where children find it."""
        os.environ[VARIABLE] = "%d:%d:%s" % (self.number, self.passed, self.folder)


def begin(script: str, number: int, folder: str) -> WantedLoader:
    """From now on what this process starts is watched.

    Args:
        script: name of the script.
        number: which of the loaders that are iterated is wanted, counted from 0 along the line of parents.
        folder: where children report.
    """
    look = WantedLoader(number, 0, folder)
    look.tell()
    os.environ[SCRIPT_VARIABLE] = script
    os.environ[_PATH] = _with_hook(os.environ.get(_PATH))
    _watch_starts()
    return look


def end() -> None:
    """What is started from now on is not watched; what was stays so."""
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


def enter_child(serve: "Callable[[Any, WantedLoader], None]") -> None:
    """In a Python that a watched process has started, before anything of the user's runs.

    Args:
        serve: called with the wanted loader at its iter(); does not come back.
    """
    look = _from_environment()
    if look is None:
        return
    _watch_starts()
    when_imported("torch.utils.data.dataloader", lambda module: _watch_loaders(look, serve))


def _from_environment() -> "Optional[WantedLoader]":
    number, _, rest = os.environ.get(VARIABLE, "").partition(":")
    passed, _, folder = rest.partition(":")
    return WantedLoader(int(number), int(passed), folder) if number.isdigit() and passed.isdigit() and folder else None


def _watch_loaders(look: WantedLoader, serve: "Callable[[Any, WantedLoader], None]") -> None:
    from . import made_loaders

    def reached(loader: "Any") -> None:
        if look.is_wanted(loader):
            made_loaders.on_iteration(None)
            try:
                serve(loader, look)
            except BaseException:  # whatever went wrong: this process must not train
                _stop_for_ever()

    made_loaders.install()
    made_loaders.on_iteration(reached)


def _stop_for_ever() -> None:
    import time

    stop = getattr(sys.modules.get("signal"), "SIGSTOP", None)
    while True:
        if stop is not None:
            os.kill(os.getpid(), stop)
        time.sleep(1.0)


def _with_hook(path: "Optional[str]") -> str:
    return HOOK_FOLDER if not path else HOOK_FOLDER + os.pathsep + path


def _watch_starts() -> None:
    when_imported("subprocess", _watch_popen)
    for name in _WITH_ENVIRONMENT:
        if hasattr(os, name):
            _replace(os, name, _third_is_environment(getattr(os, name)))
    if hasattr(os, "killpg"):
        _replace(os, "kill", _held_back(os.kill, lambda pid: pid))
        _replace(os, "killpg", _held_back(os.killpg, lambda group: -group))


def _held_back(original: "Callable[..., Any]", as_pid: "Callable[[Any], Any]") -> "Callable[..., Any]":
    """A `kill` that does not come back from a child which stands still or serves: a watchdog goes on as after a training."""

    def kill(number: "Any", signal: "Any") -> "Any":
        try:
            concerned = signal not in (0, _SIGCONT) and _is_at_loader(as_pid(number))
        except (TypeError, ValueError, OSError):
            concerned = False
        while concerned:
            try:
                sleep(3600.0)
            except BaseException:  # what a handler of the user's raises, KeyboardInterrupt included
                pass
        return original(number, signal)

    return kill


def _is_at_loader(pid: int) -> bool:
    """Whether a signal to `pid`, which means processes as it does in `os.kill`, reaches another one that has reported."""
    look = _from_environment()
    if look is None:
        return False
    for name in os.listdir(look.folder):
        stem, found, _ = name.partition(REPORT_SUFFIX)
        child = int(stem) if found and stem.isdigit() else 0
        if child and child != os.getpid() and (pid == child if pid > 0 else os.getpgid(child) == (-pid or os.getpgrp())):
            return True
    return False


def _watch_popen(module: "types.ModuleType") -> None:
    original = module.Popen._execute_child  # POSIX and Windows each have one, with other arguments
    names = original.__code__.co_varnames[: original.__code__.co_argcount]
    if "env" not in names:
        return
    position = names.index("env")

    def _execute_child(*args: "Any", **kwargs: "Any") -> "Any":
        if len(args) > position:
            args = (*args[:position], watched_environment(args[position]), *args[position + 1 :])
        return original(*args, **kwargs)

    _replace(module.Popen, "_execute_child", _execute_child)


def _third_is_environment(original: "Callable[..., Any]") -> "Callable[..., Any]":
    def start(path: "Any", argv: "Any", env: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        return original(path, argv, watched_environment(env), *args, **kwargs)

    return start


def _replace(owner: "Any", name: str, function: "Callable[..., Any]") -> None:
    _replaced.append((owner, name, getattr(owner, name)))
    setattr(owner, name, function)


def watched_environment(environment: "Any") -> "Any":
    """A new process's environment with what makes it a watched one. None means this process's own."""
    if VARIABLE not in os.environ:
        return environment
    if environment is None:
        if _is_on_path(os.environ):
            return None
        environment = os.environ  # the script has set PYTHONPATH anew
    try:
        watched: "Dict[str, str]" = {os.fsdecode(name): os.fsdecode(value) for name, value in dict(environment).items()}
    except (TypeError, ValueError):
        return environment  # no process can be started with that: let the caller be told
    watched.update({name: value for name, value in os.environ.items() if name.startswith(_OURS)})
    if not _is_on_path(watched):
        watched[_PATH] = _with_hook(watched.get(_PATH))
    return watched


def _is_on_path(environment: "Mapping[str, str]") -> bool:
    return HOOK_FOLDER in environment.get(_PATH, "").split(os.pathsep)
