"""Times the imports of a process, as a tree: for every module from the begin of its search to the end of its execution.

A finder in front of the others calls them as the import system would, and times from that moment until their loader has executed
the module. That covers the search and, for an extension module, the load of its library. Built-in and frozen modules take too
little time to matter and are not timed.
"""

from __future__ import annotations

import _thread
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Union

from .patches import hide_frame

MIN_REPORTED_NS = 1_000_000
_MIN_HEAVY_S = 0.02


class Import(NamedTuple):
    """An imported module; its time includes the modules that it imported itself."""

    name: str
    start_ns: int
    duration_ns: int


class ImportTimer:
    """A meta path finder; use it as a context. It times the imports of the thread that enters it only.

    Attributes:
        finished: imports of at least `MIN_REPORTED_NS`, in the order of their ends: inner ones before those around them.
        own_ns: time that the timing itself took, without the calls of its functions.
        depth: how many imports are under way, one inside the other.
    """

    def __init__(self, on_finished: Optional[Callable[[Import], None]] = None) -> None:
        """Prepares the timing; `on_finished` is called with each import that is added to `finished`."""
        self._on_finished = on_finished
        self.finished: List[Import] = []
        self.own_ns = 0
        self.depth = 0
        self._thread = 0
        self._searching = False

    def __enter__(self) -> "ImportTimer":
        self._thread = _thread.get_ident()
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_error: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the timing; may be called twice."""
        self._thread = 0
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def heavy_packages(self) -> List[Dict[str, Union[str, float, None]]]:
        """Returns the top-level modules that took long as {name, seconds, within}, the heaviest first.

        `seconds` includes their own imports; `within` is the top-level module that imported it first, perhaps through others.
        """
        packages = [item for item in self.finished if "." not in item.name]
        seconds: Dict[str, float] = {}
        within: Dict[str, Optional[str]] = {}
        for position, item in enumerate(packages):
            seconds[item.name] = seconds.get(item.name, 0.0) + item.duration_ns / 1e9
            around = (later.name for later in packages[position + 1 :] if later.start_ns <= item.start_ns and later.name != item.name)
            within.setdefault(item.name, next(around, None))
        ordered = sorted(seconds, key=lambda name: -seconds[name])
        return [{"name": name, "seconds": seconds[name], "within": within[name]} for name in ordered if seconds[name] >= _MIN_HEAVY_S]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Returns the spec that the other finders find, with a loader that times the execution."""
        if self._searching or _thread.get_ident() != self._thread:  # another finder of this class calls all others, too
            return None
        start_ns = time.perf_counter_ns()
        self._searching = True
        try:
            for finder in list(sys.meta_path):
                if finder is self or not hasattr(finder, "find_spec"):
                    continue
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    found_ns = time.perf_counter_ns()
                    self._time_loader(spec.loader, name, start_ns)
                    self.own_ns += time.perf_counter_ns() - found_ns
                    return spec
        finally:
            self._searching = False
        return None

    def _time_loader(self, loader: Any, name: str, start_ns: int) -> None:
        if isinstance(loader, type) or not hasattr(loader, "exec_module"):
            return  # built-in and frozen modules have a class shared by all as their loader
        # a loader of several modules may still have the timing of a module that was found and never executed
        plain_exec_module = getattr(loader.exec_module, "plain", loader.exec_module)

        def exec_module(module: Any) -> Any:
            loader.__dict__.pop("exec_module", None)
            self.depth += 1
            try:
                return plain_exec_module(module)
            except BaseException as error:
                hide_frame(error)
                raise
            finally:
                self.depth -= 1
                end_ns = time.perf_counter_ns()
                if end_ns - start_ns >= MIN_REPORTED_NS and self._thread:
                    self.finished.append(Import(name, start_ns, end_ns - start_ns))
                    if self._on_finished is not None:
                        self._on_finished(self.finished[-1])
                self.own_ns += time.perf_counter_ns() - end_ns

        exec_module.plain = plain_exec_module  # type: ignore[attr-defined]
        try:
            loader.exec_module = exec_module
        except AttributeError:
            pass  # a loader that takes no attributes is not timed
