"""Texts of torch and of the system, as the sentences that the user reads."""

import sys

import pytest

from loaderscope.agent import error_sentences
from loaderscope.agent.error_sentences import describe, end_of_process, is_user_file


@pytest.mark.parametrize(
    ("error", "kind", "cause", "words"),
    [
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
            "worker-died",
            error_sentences.KILLED,
            ["(pid 12)", "was killed by signal Killed (", "memory runs out"],
        ),
        (
            RuntimeError(
                "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's workers are out of "
                "shared memory. Please try to raise your shared memory limit."
            ),
            "worker-died",
            error_sentences.SHARED_MEMORY,
            ["signal Bus error", "shared memory (/dev/shm) is full"],
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
            "worker-died",
            None,
            ["(pid 12, 13)", "ended unexpectedly"],
        ),
        (
            RuntimeError("unable to open shared memory object </torch_1> in read-write mode: Too many open files (24)"),
            "limit",
            error_sentences.FILE_DESCRIPTORS,
            ["file descriptors"],
        ),
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Aborted. "),
            "worker-died",
            error_sentences.NATIVE_CRASH,
            ["signal Aborted"],
        ),
        (RuntimeError("received 0 items of ancdata"), "limit", error_sentences.FILE_DESCRIPTORS, ["file descriptors"]),
        (OSError(24, "Too many open files"), "limit", error_sentences.FILE_DESCRIPTORS, ["file descriptors"]),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_1>"), "limit", error_sentences.SHARED_MEMORY, ["/dev/shm"]),
        (
            OSError("[WinError 1455] The paging file is too small for this operation to complete"),
            "limit",
            error_sentences.PAGING_FILE,
            ["paging file", "another worker"],
        ),
        (
            RuntimeError("Couldn't open shared file mapping: <torch_7_1>, error code: <1455>"),
            "limit",
            error_sentences.PAGING_FILE,
            ["paging file", "shared memory"],
        ),
        (MemoryError(), "limit", error_sentences.MEMORY, ["no memory left"]),
        (
            RuntimeError(
                "An attempt has been made to start a new process before the\n current process has finished its bootstrapping phase."
            ),
            "main-guard",
            None,
            ["main guard"],
        ),
        (ValueError(""), "ValueError", None, ["ValueError"]),
    ],
)
def test_known_texts_are_recognised(error, kind, cause, words):
    info = describe(error)
    assert (info.kind, info.cause) == (kind, cause)
    assert cause is None or cause in error_sentences.CAUSES
    assert "\n" not in info.message
    for word in words:
        assert word in info.message


@pytest.mark.parametrize(
    ("exit_code", "cause"),
    [
        (-9, error_sentences.KILLED),
        (-11, error_sentences.NATIVE_CRASH),
        (3, None),
        (0xC0000005, error_sentences.NATIVE_CRASH),
        (-200, None),
    ],
)
def test_the_exit_code_tells_what_a_worker_died_of_where_torch_does_not(exit_code, cause):
    gone = RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly")
    info = describe(gone, exit_code=exit_code)
    assert (info.kind, info.pids, info.cause) == ("worker-died", [12], cause)
    assert str(abs(exit_code)) in info.message
    assert describe(RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "), exit_code=3).cause == error_sentences.KILLED


@pytest.mark.parametrize(
    ("status", "words", "cause"),
    [
        (-9, "was killed by SIGKILL (the system does that when memory runs out)", error_sentences.KILLED),
        (-11, "was killed by SIGSEGV (a crash in native code)", error_sentences.NATIVE_CRASH),
        (-7, "was killed by SIGBUS", error_sentences.SHARED_MEMORY),
        (-15, "was killed by SIGTERM", None),
        (-200, "was killed by signal 200", None),
        (3, "ended by itself with exit status 3", None),
        (0xC0000005, "crashed with status 0xC0000005", error_sentences.NATIVE_CRASH),
        (0x80000003, "crashed with status 0x80000003", None),
    ],
)
def test_the_end_of_a_process_has_words_and_a_cause(status, words, cause):
    if status == -7 and not sys.platform.startswith("linux"):
        pytest.skip("this number means SIGBUS on Linux only")
    assert end_of_process(status) == (words, cause)


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
