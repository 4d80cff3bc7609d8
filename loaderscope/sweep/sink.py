"""What the pool tells its caller, as it happens: the session file and the live view are sinks."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from loaderscope.agent.messages import Target, TrialConfig
from loaderscope.analysis.controls import Control
from loaderscope.analysis.results import SentPart, TrialResult
from loaderscope.sweep.request import Request
from loaderscope.trace.model import Trace


@dataclasses.dataclass(frozen=True)
class PlannedTrial:
    """A trial of the schedule. `skip`: why it will not be run (kind, sentence), or None."""

    id: int
    repeat: int | None
    config: TrialConfig
    skip: tuple[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class Run:
    """What is known when the first trial is about to start."""

    request: Request
    environment: dict[str, Any]  # the `environment` of the JSON document
    target: Target
    script: str
    sample: dict[str, Any] | None  # structure of one sample, see agent/samples.py; None without a probe
    plan: list[PlannedTrial]
    sent: list[SentPart] | None = None  # what each worker is sent, measured once before the trials; None without a probe
    controls: list[Control] = dataclasses.field(default_factory=list)  # of a start-up experiment, measured before the trials
    created_unix_s: int | None = None  # when the run was planned; None where that was not recorded


@dataclasses.dataclass(frozen=True)
class LogLine:
    """One line of output of the script, or a sentence of the tool's own. `time_ns` is perf_counter_ns."""

    time_ns: int
    stream: str  # stdout | stderr | loaderscope
    text: str
    trial: int | None = None


class Sink(Protocol):
    """Called from the pool's thread only.

    In this order: run_started, then per trial trial_started, trace_grew any number of times and trial_finished (for a
    skipped trial trial_finished alone), and run_finished last, whatever happened. log_line and progress come at any time.
    """

    def run_started(self, run: Run) -> None: ...

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None: ...

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None: ...

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None: ...

    def log_line(self, line: LogLine) -> None: ...

    def progress(self, done: int, total: int, seconds_left: float | None) -> None: ...

    def run_finished(self, cancelled: bool) -> None: ...
