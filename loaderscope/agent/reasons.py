"""Why a batch failed, in words, from the process that knows it to the main process that tells the user.

What the user's code sees of the exception stays as it is: the words take another way, through a file beside the event log.
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
    """What was noted of a failure beyond its exception."""

    kind: str
    """One of `ErrorInfo`'s; empty where the exception's own stays."""
    message: str
    route: Optional[str]
    """As in `ErrorInfo`."""


def tell(error: BaseException, message: str, kind: str = "", where: str = "", route: Optional[str] = None) -> None:
    """Notes why `error` was raised, while it is handled; a disk that is full keeps nothing.

    Args:
        error: the exception.
        message: one sentence for the user.
        kind: one of `ErrorInfo`'s; empty if the exception's own shall stay.
        where: the words for that in torch's wrapping; empty if main gets the exception itself.
        route: as in `ErrorInfo`.
    """
    if recorder.log is None:
        return
    try:
        with open(recorder.log.reasons_path, "ab") as file:
            file.write(json.dumps([where, last_words(error), kind, message, route]).encode("ascii") + b"\n")
    except OSError:
        pass  # the exception alone must do


def find(log_dir: str, error: BaseException) -> Optional[Reason]:
    """The reason that was noted for an exception, which may be in torch's wrapping.

    A worker fails in the order of its batches, so its first note with these words is about the one that main raised.
    """
    words = last_words(error)
    for path in sorted(glob.glob(os.path.join(glob.escape(log_dir), "*" + REASONS_SUFFIX))):
        for line in _lines(path):
            where, its_words, kind, message, route = json.loads(line)
            if words.endswith(its_words) and (words == its_words if not where else where + "." in words):
                return Reason(kind, message, route)
    return None


def last_words(error: BaseException) -> str:
    """The end of an exception's traceback: its class and message."""
    return "".join(traceback.format_exception_only(type(error), error)).strip()


def _lines(path: str) -> List[bytes]:
    try:
        with open(path, "rb") as file:
            return [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
    except OSError:
        return []
