"""What a thread waits for when the app looks at it: one row for each kind, with the functions of the kernel in which it waits."""

from __future__ import annotations

import enum


class ThreadWait(enum.IntEnum):
    """What a thread does; the values of the sampled series `waits_for/NAME`."""

    NOTHING = 0  # it computes, or is ready and has no core
    DISK = 1
    LOCK = 2  # of threads or processes; also a thread that waits for other threads of its process
    FILE_LOCK = 3
    PROCESS = 4  # another process, through a pipe or a local socket, or that process's end
    SLEEP = 5
    OTHER = 6

    @property
    def key(self) -> str:
        """Its name in results."""
        return self.name.lower()


WAITS_SERIES = "waits_for"
"""Key of these series; `/` and the name of the process follow."""

KERNEL_FUNCTIONS: dict[ThreadWait, tuple[str, ...]] = {
    ThreadWait.DISK: (
        "folio_wait",
        "wait_on_page",
        "__lock_page",
        "filemap_",
        "io_schedule",
        "blk_",
        "blkdev_",
        "dio_",
        "iomap_",
        "submit_bio",
        "wait_on_buffer",
        "__wait_on_buffer",
        "rq_qos_wait",
        "rpc_wait",
        "nfs_",
        "netfs_",
        "ceph_",
    ),
    ThreadWait.FILE_LOCK: ("locks_lock", "flock_lock", "posix_lock", "do_lock_file_wait", "fcntl_setlk"),
    ThreadWait.LOCK: ("futex_", "do_semtimedop"),
    ThreadWait.PROCESS: ("unix_stream", "sock_alloc_send", "pipe_", "anon_pipe_", "fifo_pipe_", "do_wait", "kernel_wait"),
    ThreadWait.SLEEP: ("hrtimer_nanosleep", "do_nanosleep", "common_nsleep"),
}
"""Beginnings of the names in /proc/PID/wchan, of Linux 4.19 to 6.18 (fs, mm/filemap.c, kernel/futex, net/unix/af_unix.c, fs/pipe.c)."""


def wait_in(function: str) -> ThreadWait:
    """Returns what a thread waits for in a function of the kernel; `0` stands for a thread that does not wait."""
    if function in ("", "0"):
        return ThreadWait.NOTHING
    return next((wait for wait, begins in KERNEL_FUNCTIONS.items() if function.startswith(begins)), ThreadWait.OTHER)
