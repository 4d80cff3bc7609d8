"""The app's side of an agent: starts a process of the user's interpreter, sends it requests over a loopback connection, and ends it."""

from __future__ import annotations

import dataclasses
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import loaderscope.agent
from loaderscope.agent import messages, standstill
from loaderscope.agent.error_sentences import ProcessEnd, end_of_process
from loaderscope.sweep.processes.agent_environment import interpreter_environment
from loaderscope.sweep.processes.agent_greeting import accept_greeting
from loaderscope.sweep.processes.agent_output import OutputLine, OutputReader
from loaderscope.sweep.processes.reaper import Reaper, create_reaper
from loaderscope.sweep.processes.temporary_folders import create_folder, remove_folder

AGENT_DIR = Path(loaderscope.agent.__file__).parent
START_TIMEOUT_S = 30.0
TICK_S = 0.1
_EXIT_TIMEOUT_S = 1.0
_WHERE_TIMEOUT_S = 2.0
_LAST_OUTPUT_TIMEOUT_S = 0.5
_CLOCK_ROUNDS = 5
_OBSERVE_INTERVAL_S = 1.0

_DURING = {
    "load": "while it loaded the script",
    "attach": "while it made the target ready",
    "probe": "while it read the first sample",
    "trial": "during the trial",
}

Tick = Callable[[], None]


class AgentError(Exception):
    """An agent did not do what the app asked for; `str()` is a sentence for the user."""


class AgentStartError(AgentError):
    """The interpreter could not be started, or never connected."""


class AgentDiedError(AgentError):
    """The agent's process ended.

    Attributes:
        tail: the last lines of its output.
        cause: what ended it, one of `agent.error_sentences.CAUSES`; None if that is unknown.
    """

    def __init__(self, sentence: str, tail: str = "", cause: str | None = None) -> None:
        super().__init__(sentence)
        self.tail = tail
        self.cause = cause


class AgentTimeoutError(AgentError):
    """The agent did not answer in time; it is still alive and busy."""


class AgentProtocolError(AgentError):
    """The agent speaks another protocol, or its answer fits no request."""


@dataclasses.dataclass(frozen=True)
class ClockCheck:
    """How the agent's clock differs from the app's.

    Attributes:
        offset_ns: add it to the app's clock to get the agent's; 0 if both are the same clock.
        error_ns: the offset may be wrong by this much.
    """

    offset_ns: int
    error_ns: int


class AgentProcess:
    """A running agent. Requests are serial and come from one thread.

    Attributes:
        folder: holds its temporary files.
        hello: the agent's greeting (pid, python, executable, platform).
        clock: how its clock differs from ours.
    """

    def __init__(
        self,
        python: str,
        cwd: str | None = None,
        tick: Tick | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Starts the interpreter and waits until it has connected.

        Args:
            python: the interpreter.
            cwd: working directory of the agent; None: the caller's.
            tick: called about every 0.1 s while waiting; an exception that it raises ends the agent and passes through.
            start_timeout_s: how long the interpreter may take to connect.
            variables: to be set in its environment.

        Raises:
            AgentError: see its subclasses.
        """
        self._python = python
        self._buffer = b""
        self._connection: socket.socket | None = None
        self._closed = False
        self._observed_s = 0.0
        self._replaced_connections: list[socket.socket] = []
        self.folder = create_folder()
        self.reaper: Reaper = create_reaper()
        token = secrets.token_hex(32)
        try:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self._process = self._start(python, cwd, variables or {}, _address(listener), token)
                self._output = [
                    OutputReader(pipe, stream)
                    for pipe, stream in ((self._process.stdout, "stdout"), (self._process.stderr, "stderr"))
                    if pipe is not None
                ]
                self.hello = self._accept(listener, token, time.monotonic() + start_timeout_s, tick)
            self._send({"type": "welcome", "protocol": messages.PROTOCOL})
            self.clock = self._check_clock(tick)
        except BaseException:
            self.close(at_once=True)
            raise

    @property
    def pid(self) -> int:
        """The pid of the interpreter itself: in a Windows venv `python.exe` is a launcher, and the interpreter is its child."""
        return int(self.hello["pid"])

    @property
    def alive(self) -> bool:
        """Whether the process runs and `close` was not called."""
        return not self._closed and self._process.poll() is None

    def request(self, message: dict[str, Any], timeout_s: float | None, tick: Tick | None = None) -> dict[str, Any]:
        """Sends a message and waits for its answer.

        Args:
            message: see agent/messages.py.
            timeout_s: how long the answer may take; None: without limit (`tick` can end the wait by an exception).
            tick: called about every 0.1 s while waiting.

        Raises:
            AgentDiedError, AgentTimeoutError, AgentProtocolError: close the agent after any of them.
        """
        self._send(message)
        return self._receive(None if timeout_s is None else time.monotonic() + timeout_s, tick, str(message["type"]))

    def connect_to_child(self, pid: int, timeout_s: float, tick: Tick | None = None) -> dict[str, Any]:
        """Connects to a stopped child of the script, which answers all requests from now on; its parent goes on waiting for it.

        Args:
            pid: of the child.
            timeout_s: how long its first answer may take.
            tick: see `request`.

        Returns:
            The child's answer to the `load` that was sent to its parent.

        Raises:
            AgentError: see `request`.
        """
        token = secrets.token_hex(32)
        deadline = time.monotonic() + timeout_s
        if self._connection is not None:
            self._replaced_connections.append(self._connection)
        self._buffer = b""

        def wake() -> None:  # repeatedly: the child may have seen no order just before it stops
            self.reaper.resume(pid)
            if tick is not None:
                tick()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            standstill.write_whole(str(self.folder / f"{pid}{standstill.ORDER_SUFFIX}"), {"address": _address(listener), "token": token})
            self.hello = self._accept(listener, token, deadline, wake)
        self._send({"type": "welcome", "protocol": messages.PROTOCOL})
        answer = self._receive(deadline, tick, "load")
        self.clock = self._check_clock(tick)
        return answer

    def wait_one_tick(self, tick: Tick) -> None:
        """Waits for about 0.1 s without a request, and calls `tick`.

        Raises:
            AgentDiedError: the process has ended.
        """
        try:
            status = self._process.wait(TICK_S)
        except subprocess.TimeoutExpired:
            tick()
        else:
            end = end_of_process(status)
            raise AgentDiedError(f"the script's process (pid {self._process.pid}) {end.words}", self.output_tail(), end.cause)

    def where(self) -> tuple[str, int, str] | None:
        """File, line and function that the script executes now, during an unanswered request; None if the agent does not answer."""
        try:
            self._send({"type": "where"})
            deadline = time.monotonic() + _WHERE_TIMEOUT_S
            while (answer := self._receive(deadline, None, "where"))["type"] != "where":
                pass
        except AgentError:
            return None
        place = answer["place"]
        return None if place is None else (str(place["file"]), int(place["line"]), str(place["function"]))

    def end_if_left(self) -> None:
        """Lets a trial of the training end if the script takes no more batches of the loader; the trial's own answer then follows.

        Raises:
            AgentError: the agent has ended.
        """
        self._send({"type": "end_if_left"})

    def end_look(self) -> dict[str, Any]:
        """Ends the look of an unanswered `load`; returns its answer, which may be one that was under way.

        Raises:
            AgentError: see `request`.
        """
        self._send({"type": "end_look"})
        deadline = time.monotonic() + START_TIMEOUT_S
        answers = [self._receive(deadline, None, "end_look")]
        while answers[-1]["type"] != "again":
            answers.append(self._receive(deadline, None, "end_look"))
        return answers[0]

    def drain_output(self) -> list[OutputLine]:
        """The lines that the agent and its children printed since the last call, oldest first."""
        return sorted((line for reader in self._output for line in reader.drain()), key=lambda line: line.time_ns)

    def settle_output(self) -> None:
        """Waits a moment for output that was printed but not read yet."""
        for reader in self._output:
            reader.settle(_LAST_OUTPUT_TIMEOUT_S)

    def output_tail(self) -> str:
        """The last lines that were printed to stderr, or to stdout if stderr is empty."""
        for reader in reversed(self._output):
            if lines := reader.tail():
                return "\n".join(lines)
        return ""

    def kill_tree(self) -> None:
        """Kills the agent and every process that it has started."""
        self.reaper.kill()
        if hasattr(self, "_process"):
            self._process.wait(timeout=_EXIT_TIMEOUT_S * 10)

    def close(self, at_once: bool = False) -> None:
        """Asks the agent to end, then kills every process that is left. Its output can still be drained afterwards.

        Args:
            at_once: kill without asking, because the agent is busy or may not answer.
        """
        if self._closed:
            return
        self._closed = True
        if self._connection is not None and not at_once:
            self.reaper.observe()  # processes that the ending agent kills become ours to wait for
            try:
                self._connection.sendall(messages.encode({"type": "exit"}))
                self._process.wait(timeout=_EXIT_TIMEOUT_S)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.kill_tree()
        for connection in (self._connection, *self._replaced_connections):
            if connection is not None:
                connection.close()
        self.reaper.close()
        remove_folder(self.folder)
        for reader in getattr(self, "_output", ()):
            reader.join(_LAST_OUTPUT_TIMEOUT_S)

    def _start(self, python: str, cwd: str | None, variables: Mapping[str, str], address: str, token: str) -> subprocess.Popen[bytes]:
        environment = {**interpreter_environment(python), **variables}
        environment[messages.ADDRESS_VARIABLE] = address
        environment[messages.FOLDER_VARIABLE] = str(self.folder)
        environment[messages.TOKEN_VARIABLE] = token
        environment[messages.MARK_VARIABLE] = self.reaper.mark
        try:
            process = subprocess.Popen(
                [python, str(AGENT_DIR / "start.py")],
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **self.reaper.popen_options(),
            )
        except OSError as error:
            raise AgentStartError(f"the interpreter {python} cannot be started: {error.strerror or error}") from error
        try:
            self.reaper.adopt(process)
        except OSError as error:
            raise AgentStartError(f"the process of {python} could not be put under control: {error}") from error
        return process

    def _accept(self, listener: socket.socket, token: str, deadline: float, tick: Tick | None) -> dict[str, Any]:
        """Waits for the connection that greets with the token, and keeps it. Returns the greeting."""

        def check() -> None:
            if tick is not None:
                tick()
            self._check_alive("at once")
            if time.monotonic() > deadline:
                raise AgentStartError("the interpreter was started but did not report within the time allowed")

        connection, hello = accept_greeting(listener, token, TICK_S, check)
        self._connection = connection
        connection.setblocking(True)
        connection.settimeout(TICK_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hello.get("protocol") != messages.PROTOCOL:
            raise AgentProtocolError(f"the agent speaks protocol {hello.get('protocol')}, this app {messages.PROTOCOL}")
        return hello

    def _send(self, message: dict[str, Any]) -> None:
        assert self._connection is not None
        try:
            self._connection.settimeout(START_TIMEOUT_S)
            self._connection.sendall(messages.encode(message))
            self._connection.settimeout(TICK_S)
        except OSError:
            raise self._died_error("before it could be asked") from None

    def _receive(self, deadline: float | None, tick: Tick | None, request_type: str) -> dict[str, Any]:
        assert self._connection is not None
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                try:
                    return messages.decode(line)
                except messages.ProtocolError as error:
                    raise AgentProtocolError(f"the agent's answer to '{request_type}' cannot be read: {error}") from error
            if len(self._buffer) > messages.MAX_LINE_BYTES:
                raise AgentProtocolError(f"the agent's answer to '{request_type}' does not end")
            try:
                chunk = self._connection.recv(1 << 16)
            except TimeoutError:
                chunk = None
            except OSError:
                chunk = b""
            if chunk == b"":
                raise self._died_error(_DURING.get(request_type, f"while it was asked to '{request_type}'"))
            self._buffer += chunk or b""
            if chunk is None or tick is not None:
                self._on_tick(deadline, tick, request_type)

    def _on_tick(self, deadline: float | None, tick: Tick | None, request_type: str) -> None:
        if tick is not None:
            tick()
        now_s = time.monotonic()
        if now_s - self._observed_s > _OBSERVE_INTERVAL_S:
            self._observed_s = now_s
            self.reaper.observe()
        if deadline is not None and now_s > deadline:
            raise AgentTimeoutError(f"the agent did not answer to '{request_type}' within the time allowed")

    def _check_alive(self, when: str) -> None:
        if self._process.poll() is not None:
            status = self._process.wait()
            for reader in self._output:
                reader.join(_LAST_OUTPUT_TIMEOUT_S)
            tail = self.output_tail()
            last_line = f": {tail.splitlines()[-1]}" if tail and status else ""
            end = end_of_process(status)
            raise AgentDiedError(f"{self._python} is no working Python: it {end.words} {when}{last_line}", tail, end.cause)

    def _died_error(self, when: str) -> AgentDiedError:
        """Waits a moment for the end of an agent that has closed its connection, and returns the error that says how it ended."""
        try:
            end = end_of_process(self._process.wait(timeout=_EXIT_TIMEOUT_S))
        except subprocess.TimeoutExpired:
            end = ProcessEnd("closed its connection", None)
        for reader in self._output:
            reader.join(_LAST_OUTPUT_TIMEOUT_S)
        return AgentDiedError(f"the script's process (pid {self._process.pid}) {end.words} {when}", self.output_tail(), end.cause)

    def _check_clock(self, tick: Tick | None) -> ClockCheck:
        """Compares the clocks by the fastest of a few rounds; both are one clock if the agent's stamp lies within the round."""
        fastest: tuple[int, int] | None = None  # duration, offset
        for _ in range(_CLOCK_ROUNDS):
            before_ns = time.perf_counter_ns()
            answer = self.request({"type": "clock"}, START_TIMEOUT_S, tick)
            after_ns = time.perf_counter_ns()
            agent_ns = answer.get("clock_ns")
            if answer["type"] != "clock" or not isinstance(agent_ns, int):
                raise AgentProtocolError(f"the agent answered '{answer['type']}' to 'clock'")
            duration_ns = after_ns - before_ns
            if fastest is None or duration_ns < fastest[0]:
                fastest = (duration_ns, agent_ns - (before_ns + after_ns) // 2)
        assert fastest is not None
        duration_ns, offset_ns = fastest
        return ClockCheck(0 if abs(offset_ns) <= duration_ns // 2 + 1 else offset_ns, duration_ns // 2)


def _address(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"
