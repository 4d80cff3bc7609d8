"""Texts of torch and of the system, as the sentences that the user reads."""

import pytest

from loaderscope.agent.errors import describe, is_user_file


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
            "worker-died",
            ["(pid 12)", "was killed by signal Killed (", "memory runs out"],
        ),
        (
            RuntimeError(
                "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's workers are out of "
                "shared memory. Please try to raise your shared memory limit."
            ),
            "worker-died",
            ["signal Bus error", "shared memory (/dev/shm) is full"],
        ),
        (RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"), "worker-died", ["(pid 12, 13)", "ended unexpectedly"]),
        (RuntimeError("received 0 items of ancdata"), "limit", ["file descriptors"]),
        (OSError(24, "Too many open files"), "limit", ["file descriptors"]),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_1>"), "limit", ["/dev/shm"]),
        (
            OSError("[WinError 1455] The paging file is too small for this operation to complete"),
            "limit",
            ["paging file", "another worker"],
        ),
        (RuntimeError("Couldn't open shared file mapping: <torch_7_1>, error code: <1455>"), "limit", ["paging file", "shared memory"]),
        (MemoryError(), "limit", ["no memory left"]),
        (
            RuntimeError(
                "An attempt has been made to start a new process before the\n current process has finished its bootstrapping phase."
            ),
            "main-guard",
            ["main guard"],
        ),
        (ValueError(""), "ValueError", ["ValueError"]),
    ],
)
def test_known_texts_are_recognised(error, kind, words):
    info = describe(error)
    assert info.kind == kind
    assert "\n" not in info.message
    for word in words:
        assert word in info.message


def test_an_exception_of_a_worker_keeps_its_type_and_points_into_the_users_code():
    text = """Caught FileNotFoundError in DataLoader worker process 3.
Original Traceback (most recent call last):
  File "/usr/lib/python3/site-packages/torch/utils/data/_utils/worker.py", line 349, in _worker_loop
    data = fetcher.fetch(index)
  File "/home/user/train.py", line 12, in __getitem__
    return load(self.paths[index])
  File "/home/user/images.py", line 4, in load
    return open(path)
  File "/usr/lib/python3/site-packages/PIL/Image.py", line 99, in open
    raise
FileNotFoundError: [Errno 2] No such file or directory: 'a: b.png'
"""
    info = describe(RuntimeError(text), sample=17)
    assert (info.kind, info.file, info.line) == ("FileNotFoundError", "/home/user/images.py", 4)
    assert info.message == (
        "FileNotFoundError: [Errno 2] No such file or directory: 'a: b.png' (images.py, line 4, in load, sample 17, worker 3)"
    )


def test_an_exception_whose_own_text_raises_is_told_all_the_same():
    class RudeError(Exception):
        def __str__(self):
            raise ZeroDivisionError

    assert "its message cannot be told (ZeroDivisionError)" in describe(RudeError()).message


def test_what_is_installed_is_not_the_users():
    import os

    import torch

    assert is_user_file(__file__)
    assert not is_user_file(torch.__file__)
    assert not is_user_file(os.__file__)
    assert not is_user_file("<frozen importlib._bootstrap>")
