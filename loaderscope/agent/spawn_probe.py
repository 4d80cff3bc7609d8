"""Gives a spawned worker its hooks: an object in its preparation data that runs a few lines when the child unpickles it.

The child reads its preparation data before it imports the user's main module, and unpickles the first entry first. It rebuilds
the probe by `exec` alone and so needs no import path for it; the probe loads this folder by path.
"""

from __future__ import annotations

import os
import time
from typing import Any, Tuple

from .recorder import Plan

PREPARATION_KEY = "_loaderscope"
STAMPS = "_loaderscope_stamps_ns"
"""Attribute of `sys` in the child: when main asked for its creation, and when its first statement ran."""

PACKAGE = "_loaderscope_agent"
"""Name of this folder as a package in the user's interpreter, where `loaderscope` may be another version or absent."""

_SOURCE = """\
import time
probe_ns = time.perf_counter_ns()
import os, sys
try:
    if {package!r} not in sys.modules:
        from importlib.util import module_from_spec, spec_from_file_location
        spec = spec_from_file_location({package!r}, os.path.join({folder!r}, "__init__.py"), submodule_search_locations=[{folder!r}])
        sys.modules[{package!r}] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[{package!r}])
    import {package}.worker_boot
    {package}.worker_boot.boot({plan!r}, {worker!r}, {requested_ns!r}, probe_ns)
except Exception as error:
    print("loaderscope: worker {worker} is not recorded: %s: %s" % (type(error).__name__, error), file=sys.stderr)
"""


class SpawnProbe:
    """Starts recording in the process that unpickles it, and unpickles to None."""

    def __init__(self, plan: Plan, worker: int) -> None:
        self._source = _SOURCE.format(
            package=PACKAGE,
            folder=os.path.dirname(os.path.abspath(__file__)),
            plan=tuple(plan),
            worker=worker,
            requested_ns=time.perf_counter_ns(),
        )

    def __reduce__(self) -> Tuple[Any, Tuple[str, "dict[str, Any]"]]:
        return exec, (self._source, {})


def stamp_statement() -> str:
    """The first statement on a spawned child's command line; without double quotes, because Windows puts it between some."""
    return "import sys, time; sys.%s = (%d, time.perf_counter_ns()); " % (STAMPS, time.perf_counter_ns())
