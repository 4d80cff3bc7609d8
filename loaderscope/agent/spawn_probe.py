"""How a spawned worker gets its hooks: an object in its preparation data that runs a few lines when it is unpickled.

Preparation data is read before the child imports the user's main module, and whatever stands first in it is unpickled
first. The probe is rebuilt by `exec` alone, so the child needs no import path for it; it loads this folder by path.
"""

from __future__ import annotations

import os
import time
from typing import Any, Tuple

from .recorder import Plan

PREPARATION_KEY = "_loaderscope"
STAMPS = "_loaderscope_stamps_ns"
"""Attribute of `sys` in the child: when its creation was asked for, and when its first statement ran."""

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
    """Unpickles to None, after it has started recording in the process that unpickles it."""

    def __init__(self, plan: Plan, worker: int) -> None:
        self._source = _SOURCE.format(
            package=PACKAGE,
            folder=os.path.dirname(os.path.abspath(__file__)),
            plan=(plan.log_dir, plan.timeout_s, plan.thin_samples, plan.sharing_strategy),
            worker=worker,
            requested_ns=time.perf_counter_ns(),
        )

    def __reduce__(self) -> Tuple[Any, Tuple[str, "dict[str, Any]"]]:
        return exec, (self._source, {})


def stamp_statement() -> str:
    """A statement to stand first on a spawned child's command line; no double quotes, Windows puts it between some."""
    return "import sys, time; sys.%s = (%d, time.perf_counter_ns()); " % (STAMPS, time.perf_counter_ns())
