"""Starts recording in a spawned worker, or in one from the forkserver, before it imports the main module; the probe calls `boot`."""

from __future__ import annotations

import sys
import time
from typing import Any, Callable, List, Optional

from . import line_output, recorder, warning_notes, worker_hooks
from . import torch_internals as internals
from .import_timer import Import, ImportTimer
from .layout import Role, State
from .line_sampler import Line, LineSampler
from .patches import Patches, hide_frame
from .spawn_probe import PREPARATION_KEY, STAMPS

Function = Callable[..., Any]

MAIN_MODULE = "__mp_main__"
"""Multiprocessing's name of the user's main module in a worker."""

_unpickling: Optional[ImportTimer] = None


def boot(plan: "tuple[str, float, bool, Optional[str], bool]", worker: int, requested_ns: int, probe_ns: int) -> None:
    """Opens this worker's log and hooks the next phases of its start.

    Args:
        plan: the fields of `recorder.Plan`.
        worker: number of the worker.
        requested_ns: when main pickled the probe.
        probe_ns: when the child unpickled it.
    """
    import multiprocessing.spawn
    from multiprocessing.process import BaseProcess

    recorder.open_log(recorder.Plan(*plan), Role.WORKER, worker)
    if recorder.Plan(*plan).prints_lines:
        line_output.print_lines_at_once()
    # A child of the forkserver has no stamps: its interpreter ran already, so its creation ends with the probe.
    created_ns, first_ns = sys.__dict__.pop(STAMPS, (requested_ns, probe_ns))
    recorder.complete(State.CREATE, created_ns, first_ns - created_ns)
    recorder.complete(State.BOOT, first_ns, probe_ns - first_ns)
    patches = Patches()
    patches.wrap(multiprocessing.spawn, "prepare", _wrap_prepare)
    patches.wrap(BaseProcess, "_bootstrap", _wrap_bootstrap)
    worker_hooks.install(patches, torch_comes_later=True)
    warning_notes.install(patches)
    recorder.complete(State.OWN, probe_ns, time.perf_counter_ns() - probe_ns)


def _wrap_prepare(original: Function) -> Function:
    def prepare(data: Any) -> Any:
        data.pop(PREPARATION_KEY, None)
        imports = ImportTimer(lambda item: _record_import(item, imports.depth))
        lines = LineSampler(MAIN_MODULE, imports)
        recorder.begin(State.MAIN_IMPORT)
        start_ns = time.perf_counter_ns()
        try:
            with imports, lines:
                result = original(data)
        except BaseException as error:
            hide_frame(error)
            raise
        finally:
            recorder.end(State.MAIN_IMPORT)
            end_ns = time.perf_counter_ns()
            recorder.complete(State.OWN, start_ns, imports.own_ns + lines.own_ns)
            _record_lines(lines.lines(), start_ns)
            recorder.complete(State.OWN, end_ns, time.perf_counter_ns() - end_ns)
        recorder.begin(State.UNPICKLE)
        _begin_unpickling()
        return result

    return prepare


def _begin_unpickling() -> None:
    """Times the imports that unpickling the process object causes: modules of classes that the script itself does not import."""
    global _unpickling
    imports = _unpickling = ImportTimer(lambda item: _record_import(item, imports.depth))
    imports.__enter__()


def _end_unpickling() -> None:
    if _unpickling is not None:
        _unpickling.stop()
        if _unpickling.finished:
            recorder.complete(State.OWN, time.perf_counter_ns() - _unpickling.own_ns, _unpickling.own_ns)
    recorder.end(State.UNPICKLE)


def _record_import(item: Import, depth: int) -> None:
    """Records an import at once, as a sign of life; its name goes to disk when the outermost import ends."""
    if recorder.log is not None:
        recorder.complete(State.IMPORT, item.start_ns, item.duration_ns, recorder.log.add_name(item.name))
        if not depth:
            recorder.log.flush_names()


def _record_lines(lines: List[Line], start_ns: int) -> None:
    """Records the times of lines of the script, one after another."""
    if recorder.log is None:
        return
    names = [recorder.log.add_name("%d %s" % (line.number, line.text)) for line in lines]
    recorder.log.flush_names()
    for name, line in zip(names, lines):  # noqa: B905 - Python 3.9
        for state, duration_ns in ((State.LINE, line.plain_ns), (State.LINE_IMPORTS, line.import_ns)):
            recorder.complete(state, start_ns, duration_ns, name)
            start_ns += duration_ns


def _wrap_bootstrap(original: Function) -> Function:
    def _bootstrap(self: Any, *args: Any, **kwargs: Any) -> Any:
        if internals.is_worker_loop(getattr(self, "_target", None)):
            _end_unpickling()
        return original(self, *args, **kwargs)

    return _bootstrap
