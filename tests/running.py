"""Helpers for tests that start real processes: a sink that collects, requests, and who of a trial is still alive."""

from __future__ import annotations

import os
import pathlib
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import psutil
from agent_interpreter import CHOSEN_PYTHON

from loaderscope.agent.messages import MARK_VARIABLE
from loaderscope.facts.request import Axes, Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.sweep.pool import Pool
from loaderscope.trace.model import Trace


class CollectingSink:
    """Keeps what the pool tells; `on_grew`, if set, is called with every growth of a trace."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.started: list[PlannedTrial] = []
        self.results: list[TrialResult] = []
        self.traces: dict[int, Trace] = {}
        self.log: list[LogLine] = []
        self.progressed: list[tuple[int, int, float | None]] = []
        self.finished: list[bool] = []
        self.on_grew: Callable[[PlannedTrial, Trace], None] = lambda trial, trace: None

    def run_started(self, run: Run) -> None:
        self.run = run

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None:
        self.started.append(trial)

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        self.on_grew(trial, trace)

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        self.results.append(result)
        if trace is not None:
            self.traces[result.id] = trace

    def log_line(self, line: LogLine) -> None:
        self.log.append(line)

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        self.progressed.append((done, total, seconds_left))

    def run_finished(self, cancelled: bool) -> None:
        self.finished.append(cancelled)

    @property
    def statuses(self) -> list[str]:
        return [result.status for result in self.results]

    @property
    def output(self) -> str:
        return "\n".join(line.text for line in self.log)


def write_script(folder: pathlib.Path, text: str, name: str = "script.py") -> pathlib.Path:
    """A script of a test, dedented."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def request(
    script: pathlib.Path, workers: tuple[int, ...] = (0,), start_method: str | tuple[str, ...] | None = "fork", **options
) -> Request:
    """A small sweep over `workers`; further axes and options of Request by name. It repeats no disturbed trials and has no probe."""
    methods = (start_method,) if isinstance(start_method, str) else start_method
    axes = {name: options.pop(name) for name in list(options) if name in Axes.__dataclass_fields__}
    plain = {"batches": 4, "epochs": 1, "timeout_s": 30.0, "load_timeout_s": 30.0, "probe": False, "repeat_disturbed": 0}
    plain |= {"ceiling": False, "probe_trial": False}
    options = {**plain, "python": CHOSEN_PYTHON, **options}
    return Request(script=str(script), cwd=str(script.parent), axes=Axes(num_workers=workers, start_method=methods, **axes), **options)


def run_pool(asked: Request, sink: CollectingSink | None = None) -> CollectingSink:
    """Runs a sweep to its end."""
    sink = sink or CollectingSink()
    Pool(asked, sink).run()
    assert sink.finished == [False]
    return sink


def marked_by(owner_pid: int) -> list[psutil.Process]:
    """The live processes of trials that the app with this pid has started."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK_VARIABLE, "")
            if mark.startswith(f"{owner_pid}:") and process.status() != psutil.STATUS_ZOMBIE and process.pid != owner_pid:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def nothing_left_of(owner_pid: int, *pids: int, timeout_s: float = 10.0) -> bool:
    """Whether no process of a trial of this app lives, nor any of `pids`, soon."""
    return until(lambda: not marked_by(owner_pid) and not any(is_alive(pid) for pid in pids), timeout_s)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def own_zombies() -> list[int]:
    """Children of this process that have ended and that nobody has waited for."""
    return [child.pid for child in psutil.Process(os.getpid()).children() if child.status() == psutil.STATUS_ZOMBIE]


def until(condition: Callable[[], object], timeout_s: float = 10.0, every_s: float = 0.02) -> bool:
    """Whether the condition comes true within the time."""
    return any(condition() for _ in _looks(timeout_s, every_s))


def _looks(timeout_s: float, every_s: float) -> Iterator[None]:
    never, deadline = threading.Event(), time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        yield
        never.wait(every_s)
