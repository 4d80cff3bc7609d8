"""Ends a recorded training: with Ctrl+C, as its user would, then more and more firmly."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from loaderscope.sweep.processes.script_process import kill_tree

PATIENCE_S = 10.0
"""Between two attempts."""


class TrainingEnd:
    """The attempts to end the process of a script."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Sends the first: Ctrl+C; on Windows, where that would reach all processes of the console, it ends the process."""
        self._process = process
        self._attempt_count = 1
        self._next_s = time.monotonic() + PATIENCE_S
        if sys.platform == "win32":
            process.terminate()
        else:
            process.send_signal(signal.SIGINT)

    def go_on(self) -> None:
        """Sends SIGTERM if the process has not ended after a while, and then kills it with all that it started; call it repeatedly."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + PATIENCE_S
        self._attempt_count += 1
        if self._attempt_count == 2:
            self._process.terminate()
        else:
            kill_tree(self._process)
