"""The script of a recorded training without a terminal: its output, its Ctrl+C and its end, on each system."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import IO, Any

import psutil

from loaderscope.agent import output_relay
from loaderscope.sweep.processes.agent_output import OutputLine, OutputReader

STREAMS = ("stdout", "stderr")
FINISH_TIMEOUT_S = 1.0


class ScriptOutput:
    """What a script prints. Each stream goes through a process of its own, which reads it even when this process is gone."""

    def __init__(self, python: str) -> None:
        """Starts these processes with an interpreter.

        Raises:
            OSError: it cannot be started.
        """
        command = [python, "-I", "-S", output_relay.__file__]
        self._relays = {
            stream: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **_own_group()) for stream in STREAMS
        }
        self._readers = {stream: OutputReader(_not_none(relay.stdout), stream) for stream, relay in self._relays.items()}

    def popen_options(self) -> dict[str, Any]:
        """Returns arguments of the Popen that starts the script: its streams, and a process group of its own."""
        streams = {stream: relay.stdin for stream, relay in self._relays.items()}
        return {"stdin": subprocess.DEVNULL, **streams, **_own_group()}

    def script_started(self) -> None:
        """Leaves the streams to the script, so that they end with it. Call this, too, if it could not be started."""
        for relay in self._relays.values():
            _not_none(relay.stdin).close()

    def drain(self) -> list[OutputLine]:
        """Returns the lines since the last call, in the order in which they were read."""
        return sorted((line for reader in self._readers.values() for line in reader.drain()), key=lambda line: line.time_ns)

    def tail(self) -> list[str]:
        """Returns the last lines on standard error, or on standard output if there are none."""
        return self._readers["stderr"].tail() or self._readers["stdout"].tail()

    def finish(self) -> None:
        """Waits until all is read that the script printed, which has ended; a process that it left running may print on."""
        deadline_s = time.monotonic() + FINISH_TIMEOUT_S
        for stream, reader in self._readers.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._relays[stream].wait(max(deadline_s - time.monotonic(), 0.0))
            reader.join(max(deadline_s - time.monotonic(), 0.1))


def _own_group() -> dict[str, Any]:
    """Returns arguments of a Popen for a process that Ctrl+C in our terminal does not reach."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _not_none(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Sends a script what Ctrl+C in a terminal sends to all processes that it started, too.

    On Windows it is Ctrl+Break, as a process group of its own ignores Ctrl+C; a program without a console can only end the script.
    """
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        try:
            process.send_signal(signal.CTRL_BREAK_EVENT)
        except OSError:
            process.terminate()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kills a script and all processes that it started; of a process group of its own also those whose parent has ended."""
    if process.poll() is not None:
        return
    children: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()
