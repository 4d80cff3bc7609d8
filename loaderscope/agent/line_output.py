"""Lets the output of a process leave by lines; a spawned worker loads this module before any of the user's."""

from __future__ import annotations

import io
import sys


def print_lines_at_once() -> None:
    """Makes this process print each line when it is whole, so that the app reads it then.

    An unbuffered stream would do so, too, but `print` writes a line's end apart: lines of several processes then run into each other.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None in a program without a console
            stream.reconfigure(line_buffering=True, write_through=False)
