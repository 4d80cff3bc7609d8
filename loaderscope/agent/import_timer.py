"""Times what a spawned worker imports while it imports the user's main module again.

A finder in front of the others asks them as the import system would, and times the loader that they name. It is there for
the main import only, and for top-level packages only: `torch` with all that it imports is one entry, `numpy` inside it
another.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from . import recorder
from .layout import State

_WORTH_TELLING_NS = 1_000_000


class ImportTimer:
    """A meta path finder; use as a context."""

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)

    def __exit__(self, *_error: Any) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """What the other finders find; its loader tells how long it took."""
        if "." in name:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                _time_loader(spec.loader, name)
                return spec
        return None


def _time_loader(loader: Any, name: str) -> None:
    if isinstance(loader, type) or not hasattr(loader, "exec_module"):
        return  # built-in and frozen modules have a class shared by all as their loader, and take no time
    plain_exec_module = loader.exec_module

    def exec_module(module: Any) -> Any:
        loader.__dict__.pop("exec_module", None)
        begin_ns = time.perf_counter_ns()
        try:
            return plain_exec_module(module)
        finally:
            duration_ns = time.perf_counter_ns() - begin_ns
            if duration_ns >= _WORTH_TELLING_NS and recorder.log is not None:
                recorder.complete(State.IMPORT, begin_ns, duration_ns, recorder.log.add_name(name))

    try:
        loader.exec_module = exec_module
    except AttributeError:
        pass  # a loader that takes no attributes is not timed
