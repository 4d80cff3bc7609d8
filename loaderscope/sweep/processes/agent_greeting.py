"""Accepts an agent's connection: of all programs that may connect to the app's port, only the agent knows the token."""

from __future__ import annotations

import hmac
import selectors
import socket
from collections.abc import Callable
from typing import Any

from loaderscope.agent import messages

_GREETING_BYTES = 64 * 1024


def accept_greeting(
    listener: socket.socket, token: str, interval_s: float, check: Callable[[], None]
) -> tuple[socket.socket, dict[str, Any]]:
    """Waits for the connection that greets with the token; closes all other connections.

    Args:
        listener: the agent connects to it.
        token: the agent got it when it was started.
        interval_s: the longest time between two calls of `check`.
        check: called while waiting; an exception that it raises ends the wait and passes through.

    Returns:
        The connection, which does not block, and the greeting.
    """
    listener.setblocking(False)
    greetings: dict[socket.socket, bytes] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in selector.select(interval_s):
                    if key.fileobj is listener:
                        connection = listener.accept()[0]
                        connection.setblocking(False)
                        selector.register(connection, selectors.EVENT_READ)
                        greetings[connection] = b""
                        continue
                    assert isinstance(key.fileobj, socket.socket)
                    connection = key.fileobj
                    try:
                        chunk = connection.recv(_GREETING_BYTES)
                    except OSError:
                        chunk = b""
                    greetings[connection] += chunk
                    hello = _greeting(greetings[connection], token)
                    if hello is not None:
                        del greetings[connection]
                        return connection, hello
                    if not chunk or b"\n" in greetings[connection] or len(greetings[connection]) > _GREETING_BYTES:
                        selector.unregister(connection)
                        del greetings[connection]
                        connection.close()
                check()
        finally:
            for connection in greetings:
                connection.close()


def _greeting(data: bytes, token: str) -> dict[str, Any] | None:
    """Returns the greeting if `data` is one with our token, else None."""
    line, newline, rest = data.partition(b"\n")
    if not newline or rest:
        return None
    try:
        hello = messages.decode(line)
    except (messages.ProtocolError, RecursionError):
        return None
    given = hello.get("token")
    if (
        hello["type"] != "hello"
        or not isinstance(given, str)
        or not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())
    ):
        return None
    return hello
