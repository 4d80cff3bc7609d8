"""Remembers where the script reads standard input, which is empty for a script that an agent runs."""

from __future__ import annotations

import io
import sys
from typing import Any, List, Optional

from .error_sentences import Place
from .user_frames import callers, innermost_user_place

_first_read: Optional[Place] = None


def watch() -> None:
    """Replaces `sys.stdin` by a stream over the same file that remembers where it is read first."""
    stdin = sys.stdin
    if isinstance(stdin, io.TextIOWrapper):
        sys.stdin = _WatchedInput(stdin.buffer, stdin.encoding, stdin.errors)


def first_read() -> Optional[Place]:
    """The line of the user's code that read standard input first; None if none did."""
    return _first_read


class _WatchedInput(io.TextIOWrapper):
    def read(self, *args: Any) -> str:
        _remember()
        return super().read(*args)

    def readline(self, *args: Any) -> str:  # type: ignore[override]
        _remember()
        return super().readline(*args)

    def readlines(self, *args: Any) -> List[str]:  # type: ignore[override]
        _remember()
        return super().readlines(*args)

    def __next__(self) -> str:  # type: ignore[override]
        _remember()
        return super().__next__()


def _remember() -> None:
    global _first_read
    if _first_read is None:
        _first_read = innermost_user_place(callers(sys._getframe(2)))
