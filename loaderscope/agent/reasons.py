"""Carries the words for why a batch failed from the process that knows them to the main process, which reports them.

The exception that the user's code sees stays as it is: the words go through a file beside the event log.
"""

from __future__ import annotations

import glob
import json
import os
import traceback
from typing import List, NamedTuple, Optional

from . import recorder
from .layout import REASONS_SUFFIX


class Reason(NamedTuple):
    """What is known of a failure beyond its exception."""

    kind: str
    """As in `ErrorInfo`; empty where the exception's own kind stays."""
    message: str
    route: Optional[str]
    """As in `ErrorInfo`."""
    cause: Optional[str]
    """As in `ErrorInfo`."""


def write(  # noqa: PLR0917
    error: BaseException, message: str, kind: str = "", where: str = "", route: Optional[str] = None, cause: Optional[str] = None
) -> None:
    """Writes down why `error` was raised, while it is being handled; on a full disk the reason is lost.

    Args:
        error: the exception.
        message: one sentence for the user.
        kind: as in `Reason`.
        where: torch's words for the place ("in DataLoader worker process 0"); empty if main gets the exception itself.
        route: as in `ErrorInfo`.
        cause: as in `ErrorInfo`.
    """
    if recorder.log is None:
        return
    try:
        with open(recorder.log.reasons_path, "ab") as file:
            file.write(json.dumps([where, last_words(error), kind, message, route, cause]).encode("ascii") + b"\n")
    except OSError:
        pass  # main then reports the exception alone


def find(log_dir: str, error: BaseException) -> Optional[Reason]:
    """Returns the reason that was written for an exception, which torch may have wrapped.

    A worker fails in the order of its batches, so its first line with these words is about the exception that main raised.
    """
    words = last_words(error)
    for path in sorted(glob.glob(os.path.join(glob.escape(log_dir), "*" + REASONS_SUFFIX))):
        for line in _whole_lines(path):
            where, noted_words, kind, message, route, cause = json.loads(line)
            if words.endswith(noted_words) and (words == noted_words if not where else where + "." in words):
                return Reason(kind, message, route, cause)
    return None


def last_words(error: BaseException) -> str:
    """The end of an exception's traceback: its class and message."""
    return "".join(traceback.format_exception_only(type(error), error)).strip()


def _whole_lines(path: str) -> List[bytes]:
    try:
        with open(path, "rb") as file:
            return [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
    except OSError:
        return []
