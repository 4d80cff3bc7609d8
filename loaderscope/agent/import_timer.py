"""Times what a process imports, as a tree: of every module when it began to be looked for and when it was there.

A finder in front of the others asks them as the import system would, and times from that moment until the loader that they
name has executed the module. That covers the search and, for an extension module, the load of its library. Built-in and
frozen modules take no time worth telling and are not timed.
"""

from __future__ import annotations

import _thread
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Union

from .patches import hide_frame

WORTH_TELLING_NS = 1_000_000
_HEAVY_S = 0.02


class Import(NamedTuple):
    """A module that was imported; those that it imported itself lie within its time."""

    name: str
    start_ns: int
    duration_ns: int


class ImportTimer:
    """A meta path finder; use as a context. Only imports of the thread that enters it are timed.

    Attributes:
        finished: imports of at least `WORTH_TELLING_NS`, in the order of their ends: inner ones before those around them.
        own_ns: what the timing itself took, the calls into its functions not counted.
        depth: how many imports go on, one inside the other.
    """

    def __init__(self, on_finished: Optional[Callable[[Import], None]] = None) -> None:
        """Nothing is timed yet; `on_finished` is called with each of those that `finished` gets."""
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
        """Top-level modules that took long, with what they import, as {name, seconds, within}; the heaviest first.

        `within` is the one of them that imported it first, maybe by others.
        """
        packages = [item for item in self.finished if "." not in item.name]
        seconds: Dict[str, float] = {}
        within: Dict[str, Optional[str]] = {}
        for place, item in enumerate(packages):
            seconds[item.name] = seconds.get(item.name, 0.0) + item.duration_ns / 1e9
            around = (later.name for later in packages[place + 1 :] if later.start_ns <= item.start_ns and later.name != item.name)
            within.setdefault(item.name, next(around, None))
        ordered = sorted(seconds, key=lambda name: -seconds[name])
        return [{"name": name, "seconds": seconds[name], "within": within[name]} for name in ordered if seconds[name] >= _HEAVY_S]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """What the other finders find; its loader tells how long it took."""
        if self._searching or _thread.get_ident() != self._thread:  # another finder of our kind asks all others, too
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
        # a loader for several modules may still carry the timing of one that was looked for and never executed
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
                if end_ns - start_ns >= WORTH_TELLING_NS and self._thread:
                    self.finished.append(Import(name, start_ns, end_ns - start_ns))
                    if self._on_finished is not None:
                        self._on_finished(self.finished[-1])
                self.own_ns += time.perf_counter_ns() - end_ns

        exec_module.plain = plain_exec_module  # type: ignore[attr-defined]
        try:
            loader.exec_module = exec_module
        except AttributeError:
            pass  # a loader that takes no attributes is not timed
