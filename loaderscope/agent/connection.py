"""The agent's end of the connection, and the watcher that ends the agent when the connection ends."""

from __future__ import annotations

import _thread
import os
import platform
import socket
import sys
import time
from _queue import SimpleQueue  # the C type: the module `queue` need not be loaded before the user's code
from typing import Any, Callable, Dict, Mapping, Optional

from .messages import ADDRESS_VARIABLE, MAX_LINE_BYTES, PROTOCOL, TOKEN_VARIABLE, ProtocolError, decode, encode

_RECEIVE_BYTES = 65536

Answer = Callable[[], Optional[Dict[str, Any]]]


class Connection:
    """A line-wise connection to the app.

    Its own thread reads. It notices the end of the connection while the main thread runs a script or a trial, and answers at
    once the requests in `answers`.
    """

    def __init__(self, host: str, port: int, on_end: Callable[[], None], answers: Mapping[str, Answer]) -> None:
        """Dials the app.

        Args:
            host: the app's host.
            port: the app's port.
            on_end: called from the reading thread when the connection ends, for whatever reason.
            answers: by type of request, functions that answer it without the main thread, with None for no answer.
        """
        self._answers = answers
        self._sends = _thread.allocate_lock()
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._messages: "SimpleQueue[Dict[str, Any]]" = SimpleQueue()
        self._on_end = on_end
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._close_in_child)

    def start(self) -> None:
        """Starts to read."""
        _thread.start_new_thread(self._read, ())

    def send(self, message: Dict[str, Any]) -> None:
        """Sends one message; calls `on_end` if the connection has ended."""
        try:
            with self._sends:
                self._socket.sendall(encode(message))
        except OSError:
            self._on_end()

    def receive(self) -> Dict[str, Any]:
        """Waits for the next message and returns it."""
        return self._messages.get()

    def _read(self) -> None:
        try:
            pending = b""
            while True:
                data = self._socket.recv(_RECEIVE_BYTES)
                if not data:
                    break
                *lines, pending = (pending + data).split(b"\n")
                if len(pending) > MAX_LINE_BYTES:
                    break
                for line in lines:
                    message = decode(line)
                    answer = self._answers.get(message["type"])
                    if answer is None:
                        self._messages.put(message)
                    elif (reply := answer()) is not None:
                        self.send(reply)
        except (OSError, ProtocolError):
            pass  # a broken connection, or nonsense on it, ends the agent as a closed one does
        finally:
            self._on_end()

    def _close_in_child(self) -> None:
        """Closes the connection in a forked worker, which must not hold it open after the agent has died."""
        try:
            os.close(self._socket.detach())
        except OSError:
            pass


def dial(on_end: Callable[[], None], answers: Mapping[str, Answer]) -> Connection:
    """Connects to the app that the environment names, and greets it with the one-time token; arguments as of `Connection`.

    It takes token and address out of the environment, so that the user's code and its children never see them.

    Raises:
        ProtocolError: the environment names no app.
        OSError: the app does not answer.
    """
    address = os.environ.pop(ADDRESS_VARIABLE, "")
    token = os.environ.pop(TOKEN_VARIABLE, "")
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit():
        raise ProtocolError("%s must hold host:port of the app that starts the agent" % ADDRESS_VARIABLE)
    connection = Connection(host, int(port), on_end, answers)
    connection.send(
        {
            "type": "hello",
            "token": token,
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "python": platform.python_version(),
            "executable": sys.executable,
            "platform": sys.platform,
            "clock_ns": time.perf_counter_ns(),
        }
    )
    connection.start()
    return connection
