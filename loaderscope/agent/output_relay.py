"""Passes on what a recorded script prints: a process between one of its streams and a window.

The script prints into the standard input of this process, which reads it to the end whatever becomes of the window. So neither a
window that is gone, nor one that does not read, nor a full disk can keep the script from printing.
"""

import os
import sys

CHUNK_BYTES = 64 * 1024
PATIENCE_S = 2.0
"""A window that does not read for so long loses output until it reads again."""


def relay(source: int, target: int) -> None:
    """Copies from one file descriptor to another until the source ends, or discards what the target does not take."""
    is_open, is_read = True, True
    while True:
        chunk = os.read(source, CHUNK_BYTES)
        if not chunk:
            return
        if is_open:
            try:
                is_read = _write(target, chunk, PATIENCE_S if is_read else 0.0)
            except OSError:  # the window is gone
                is_open = False


def _write(target: int, chunk: bytes, patience_s: float) -> bool:
    """Writes a chunk; returns False if its rest was discarded, because the target took nothing for so long."""
    if sys.platform == "win32":  # a pipe can only be waited for by writing to it
        os.write(target, chunk)
        return True
    import select

    rest = memoryview(chunk)
    while rest:
        poll = select.poll()
        poll.register(target, select.POLLOUT)
        if not poll.poll(patience_s * 1000):
            return False
        rest = rest[os.write(target, rest) :]
    return True


if __name__ == "__main__":
    if sys.platform != "win32":
        os.set_blocking(1, False)
    relay(0, 1)
