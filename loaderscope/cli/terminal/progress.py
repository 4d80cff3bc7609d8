"""Progress of a sweep on a terminal: a line a finished trial, and below them a bar with the time left."""

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

BAR_CELLS = 24
REDRAW_S = 0.2
CLEAR_LINE = "\r\x1b[K"


def _first_batches(result: TrialResult) -> str:
    """What an epoch waited for its first batch, epoch by epoch."""
    waits = [duration_text(epoch.first_batch_s) for epoch in result.epochs]
    return f"first batch after {', '.join(waits)}"


class Console:
    """A sink that writes to a text stream: with a bar if it is a terminal, else only a line a trial."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._is_terminal = self._stream.isatty()
        self._startup = False
        self._running: PlannedTrial | None = None
        self._done, self._total, self._seconds_left = 0, 0, None  # type: int, int, float | None
        self._told_at = self._drawn_at = time.monotonic()

    def run_started(self, run: Run) -> None:
        self._startup = run.request.startup
        trials = sum(trial.skip is None for trial in run.plan)
        skipped = len(run.plan) - trials
        self._total = len(run.plan)
        self.say(
            f"{run.target.name} of {run.script}: {count_text(trials, 'trial')}"
            + (f", {count_text(skipped, 'setting')} skipped" if skipped else "")
        )

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None:
        self._running = trial
        self._draw()

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        if time.monotonic() - self._drawn_at > REDRAW_S:
            self._draw()

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        self._running = None
        if result.status == "ok" and self._startup:
            outcome = _first_batches(result)
        elif result.status == "ok":
            speed = result.samples_per_second
            reason = result.samples_per_second_reason or "no throughput: too few batches."
            outcome = f"{THROUGHPUT.told(speed.value):>20}" if speed else f"{OK.word}, {reason}"
        else:
            outcome = status_of(result.status).word + (f": {result.error.message}" if result.error else "")
        self.say(f"  {setting_text(result.config):<40} {outcome}")

    def log_line(self, line: LogLine) -> None:
        if line.stream == "loaderscope":
            self.say(f"  {line.text}")

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        self._done, self._total, self._told_at = done, total, time.monotonic()
        self._seconds_left = seconds_left
        self._draw()

    def run_finished(self, cancelled: bool) -> None:
        self._total = 0
        self._clear()

    def say(self, text: str) -> None:
        """A line that stays, above the bar."""
        self._clear()
        self._write(mask_text(text) + "\n")
        self._draw()

    def _draw(self) -> None:
        if not (self._is_terminal and self._total):
            return
        self._drawn_at = time.monotonic()
        filled = BAR_CELLS * self._done // self._total
        text = f"[{'#' * filled}{'-' * (BAR_CELLS - filled)}] {self._done}/{self._total} trials"
        if self._seconds_left is not None:
            text += f", {rough_duration_text(max(0.0, self._seconds_left - (self._drawn_at - self._told_at)))} left"
        if self._running is not None:
            text += f", {setting_text(self._running.config)}"
        width = shutil.get_terminal_size().columns
        self._write(CLEAR_LINE + text[: width - 1])

    def _clear(self) -> None:
        if self._is_terminal:
            self._write(CLEAR_LINE)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal was closed, or the reader of a pipe has gone: the sweep goes on
            self._stream.write(text)
            self._stream.flush()
