"""Walks a stack outwards, and finds the user's code on it."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Iterable, Iterator, Optional

from .error_sentences import Place, is_user_file


def callers(frame: Optional[FrameType]) -> Iterator[FrameType]:
    """Yields a frame and its callers, the innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def is_of_signal_handler(error: BaseException) -> bool:
    """Whether a signal handler raised the error: it may run within any code of ours, and means the script."""
    codes = [getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()]
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False


def innermost_user_place(frames: Iterable[FrameType]) -> Optional[Place]:
    """The innermost line of the user's code; None if the frames hold none."""
    for frame in frames:
        file = frame.f_code.co_filename
        if is_user_file(file):
            return Place(os.path.abspath(file), frame.f_lineno, frame.f_code.co_name)
    return None
