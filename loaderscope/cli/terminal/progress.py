"""The progress of a sweep on a terminal: a line for each finished trial, and below them a bar with the time left."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from typing import TextIO

from loaderscope.facts.measures import THROUGHPUT
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.facts.settings import setting_text
from loaderscope.facts.statuses import OK, status_of
from loaderscope.facts.text import count_text, duration_text, rough_duration_text
from loaderscope.session.secret_masking import mask_text
from loaderscope.trace.model import Trace

BAR_COLUMNS = 24
REDRAW_S = 0.2
CLEAR_LINE = "\r\x1b[K"


def _first_batches_text(result: TrialResult) -> str:
    """Says how long each epoch waited for its first batch."""
    waits = [duration_text(epoch.first_batch_s) for epoch in result.epochs]
    return f"first batch after {', '.join(waits)}"


class Console:
    """A sink of a sweep that writes to a text stream: a line for each trial, and on a terminal a bar."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._is_terminal = self._stream.isatty()
        self._is_startup_experiment = False
        self._running_trial: PlannedTrial | None = None
        self._done_trials = self._all_trials = 0
        self._left_s: float | None = None
        self._progress_at_s = self._drawn_at_s = time.monotonic()

    def run_started(self, run: Run) -> None:
        self._is_startup_experiment = run.request.startup
        trials = sum(trial.skip is None for trial in run.plan)
        skipped = len(run.plan) - trials
        self._all_trials = len(run.plan)
        self.say(
            f"{run.target.name} of {run.script}: {count_text(trials, 'trial')}"
            + (f", {count_text(skipped, 'setting')} skipped" if skipped else "")
        )

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None:
        self._running_trial = trial
        self._draw()

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        if time.monotonic() - self._drawn_at_s > REDRAW_S:
            self._draw()

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        self._running_trial = None
        if result.status == "ok" and self._is_startup_experiment:
            outcome = _first_batches_text(result)
        elif result.status == "ok":
            speed = result.samples_per_second
            reason = result.samples_per_second_reason or "no throughput: too few batches."
            outcome = f"{THROUGHPUT.with_unit(speed.value):>20}" if speed else f"{OK.word}, {reason}"
        else:
            outcome = status_of(result.status).word + (f": {result.error.message}" if result.error else "")
        self.say(f"  {setting_text(result.config):<40} {outcome}")

    def log_line(self, line: LogLine) -> None:
        if line.stream == "loaderscope":
            self.say(f"  {line.text}")

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        self._done_trials, self._all_trials, self._progress_at_s = done, total, time.monotonic()
        self._left_s = seconds_left
        self._draw()

    def run_finished(self, cancelled: bool) -> None:
        self._all_trials = 0
        self._clear()

    def say(self, text: str) -> None:
        """Writes a line above the bar, where it stays."""
        self._clear()
        self._write(mask_text(text) + "\n")
        self._draw()

    def _draw(self) -> None:
        if not (self._is_terminal and self._all_trials):
            return
        self._drawn_at_s = time.monotonic()
        filled = BAR_COLUMNS * self._done_trials // self._all_trials
        text = f"[{'#' * filled}{'-' * (BAR_COLUMNS - filled)}] {self._done_trials}/{self._all_trials} trials"
        if self._left_s is not None:
            text += f", {rough_duration_text(max(0.0, self._left_s - (self._drawn_at_s - self._progress_at_s)))} left"
        if self._running_trial is not None:
            text += f", {setting_text(self._running_trial.config)}"
        width = shutil.get_terminal_size().columns
        self._write(CLEAR_LINE + text[: width - 1])

    def _clear(self) -> None:
        if self._is_terminal:
            self._write(CLEAR_LINE)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a closed terminal or pipe must not end the sweep
            self._stream.write(text)
            self._stream.flush()
