"""The progress of a sweep on a terminal: a line for each finished trial, and below them a bar with the time left."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, TextIO, cast

from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from loaderscope.analysis.ceiling import of_step_alone
from loaderscope.cli.terminal.console import TerminalConsole
from loaderscope.cli.terminal.printable import printable
from loaderscope.facts.findings import change_of
from loaderscope.facts.measures import throughput_of
from loaderscope.facts.purposes import PROBE, trial_setting_text
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.facts.statuses import OK, status_of
from loaderscope.facts.text import count_text, duration_text, rough_duration_text
from loaderscope.session.secret_masking import mask_text
from loaderscope.trace.model import Trace

BAR_COLUMNS = 24
REDRAW_S = 0.2


class _StreamThatMayClose:
    """A text stream that ignores what it cannot write: a closed terminal or pipe must not end the sweep."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _first_batches_text(result: TrialResult) -> str:
    """Says how long each epoch waited for its first batch."""
    waits = [duration_text(epoch.first_batch_s) for epoch in result.epochs]
    return f"first batch after {', '.join(waits)}"


class SweepProgress:
    """A sink of a sweep that writes to a text stream: a line for each trial, and on a terminal a bar."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = TerminalConsole(cast("TextIO", _StreamThatMayClose(stream if stream is not None else sys.stderr)))
        self._is_startup_experiment = False
        self._running_trial: PlannedTrial | None = None
        self._done_trials = self._all_trials = 0
        self._left_s: float | None = None
        self._progress_at_s = self._drawn_at_s = time.monotonic()
        self._live = Live(
            get_renderable=self._bar,
            console=self._console,
            auto_refresh=False,  # a thread that redraws would take time from the trials
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def run_started(self, run: Run) -> None:
        self._is_startup_experiment = run.request.startup
        trials = sum(trial.skip is None for trial in run.plan)
        skipped = len(run.plan) - trials
        self._all_trials = len(run.plan)
        self._say(
            (f"{run.target.name} of {run.script}", "heading"),
            f": {count_text(trials, 'trial')}" + (f", {count_text(skipped, 'setting')} skipped" if skipped else ""),
        )
        if self._all_trials and self._console.is_interactive:
            self._live.start(refresh=True)

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None:
        self._running_trial = trial
        self._draw()

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        if time.monotonic() - self._drawn_at_s > REDRAW_S:
            self._draw()

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        self._running_trial = None
        status = status_of(result.status)
        result = of_step_alone(result) if result.perfect_loader else result
        if status == OK and self._is_startup_experiment:
            outcome = _first_batches_text(result)
        elif result.purpose is PROBE:  # it has no figures of its own
            outcome = status.word
        elif status == OK and (speed := throughput_of(result)):
            outcome = f"{speed:>20}"
        elif status == OK:
            outcome = f"{status.word}, {result.samples_per_second_reason or 'no throughput: too few batches.'}"
        else:
            outcome = status.word
        error = f": {result.error.message}" if status != OK and result.error else ""
        name = trial_setting_text(result.config, result.purpose, change_of(result.remedy))
        self._say(f"  {name:<40} ", (outcome, status.role), error)

    def log_line(self, line: LogLine) -> None:
        if line.stream == "loaderscope":
            self._say((f"  {line.text}", "muted"))

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        self._done_trials, self._all_trials, self._progress_at_s = done, total, time.monotonic()
        self._left_s = seconds_left
        self._draw()

    def run_finished(self, cancelled: bool) -> None:
        self.close()

    def close(self) -> None:
        """Removes the bar."""
        self._live.stop()

    def _say(self, *parts: str | tuple[str, str]) -> None:
        """Writes a line above the bar, where it stays."""
        styled_parts = [(part, "") if isinstance(part, str) else part for part in parts]
        line = Text.assemble(*((printable(mask_text(text).expandtabs()), style) for text, style in styled_parts))
        self._console.print(line, soft_wrap=True)
        self._drawn_at_s = time.monotonic()

    def _draw(self) -> None:
        self._drawn_at_s = time.monotonic()
        if self._live.is_started:
            self._live.refresh()

    def _bar(self) -> RenderableType:
        text = f"{self._done_trials}/{self._all_trials} trials"
        if self._left_s is not None:
            text += f", {rough_duration_text(max(0.0, self._left_s - (time.monotonic() - self._progress_at_s)))} left"
        if self._running_trial is not None:
            trial = self._running_trial
            text += f", {trial_setting_text(trial.config, trial.purpose, change_of(trial.remedy))}"
        row = Table.grid(padding=(0, 1))
        row.add_row(
            ProgressBar(self._all_trials, self._done_trials, BAR_COLUMNS, style="muted", complete_style="info", finished_style="info"),
            Text(text, no_wrap=True, overflow="ellipsis"),
        )
        return row
