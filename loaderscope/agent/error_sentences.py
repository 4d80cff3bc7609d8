"""Describes exceptions of the user's code, of torch and of ours in one clear sentence with file and line."""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from types import TracebackType
from typing import List, NamedTuple, Optional

from .messages import ErrorInfo

WORKER_DIED = "worker-died"
NOT_PICKLABLE = "not-picklable"
MAIN_GUARD = "main-guard"
LIMIT = "limit"
UNSUPPORTED = "unsupported"

FILE_DESCRIPTORS = "file-descriptors"
SHARED_MEMORY = "shared-memory"
MEMORY = "memory"
MEMORY_MAPPINGS = "memory-mappings"
DISK = "disk"
PAGING_FILE = "paging-file"
SYSTEM_RESOURCES = "system-resources"
KILLED = "killed"
NATIVE_CRASH = "native-crash"
WRONG_ARGUMENTS = "wrong-arguments"
EXIT_STATUS = "exit-status"
STANDARD_INPUT = "standard-input"
TORCHRUN_VARIABLES = "torchrun-variables"
SAMPLES_DIFFER = "samples-differ"
GRADIENTS = "gradients"
CAUSES = (
    FILE_DESCRIPTORS, SHARED_MEMORY, MEMORY, MEMORY_MAPPINGS, DISK, PAGING_FILE, SYSTEM_RESOURCES, KILLED, NATIVE_CRASH, WRONG_ARGUMENTS,
    EXIT_STATUS, STANDARD_INPUT, TORCHRUN_VARIABLES, SAMPLES_DIFFER, GRADIENTS,
)  # fmt: skip
"""Values of `ErrorInfo.cause`, by which advice, or another run, is chosen."""

_LEAST_NTSTATUS_WARNING = 0x80000000  # on Windows a crash ends a process with its NTSTATUS as the exit code
_LEAST_NTSTATUS_ERROR = 0xC0000000
_LINE_CHARACTERS = 300


class AgentError(Exception):
    """An error that the agent itself found; `kind` as in `ErrorInfo`."""

    def __init__(self, kind: str, message: str, file: Optional[str] = None, line: Optional[int] = None) -> None:
        super().__init__(message)
        self.info = ErrorInfo(kind, message, "", file, line)

    @classmethod
    def of(cls, info: ErrorInfo) -> AgentError:
        """The error that carries `info`."""
        error = cls(info.kind, info.message)
        error.info = info
        return error


class Place(NamedTuple):
    """Where in the user's code something happened."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        where = "%s, line %d" % (os.path.basename(self.file), self.line)
        return where if self.function.startswith("<") else "%s, in %s" % (where, self.function)


_STANDARD_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_AGENT_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_INSTALLED = re.compile(r"[\\/](site-packages|dist-packages)[\\/]")
_FRAME = re.compile(r'^\s*File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE)
_FROM_WORKER = re.compile(r"^'?\"?Caught (?P<kind>\S+) in (?:DataLoader worker (?:process|thread) (?P<worker>\d+)|pin memory thread)")
_DIED = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? (?P<pids>[\d, ]+)\) "
    r"(?:is killed by signal: (?P<signal>[^.\n]+)|exited unexpectedly(?: with exit code (?P<code>-?\d+))?)",
    re.MULTILINE,
)
_LIMITS = (
    ("Too many open files", "the process ran out of file descriptors", FILE_DESCRIPTORS),
    ("received 0 items of ancdata", "the process ran out of file descriptors", FILE_DESCRIPTORS),
    ("unable to allocate shared memory", "shared memory (/dev/shm) is full", SHARED_MEMORY),
    ("unable to write to file </torch_", "shared memory (/dev/shm) is full", SHARED_MEMORY),  # torch/lib/libshm, aten MapAllocator.cpp
    ("torch_shm_manager", "shared memory (/dev/shm) is full", SHARED_MEMORY),
    ("unable to mmap", "memory could not be mapped", MEMORY_MAPPINGS),
    ("No space left on device", "the disk is full", DISK),
    ("Cannot allocate memory", "the system has no memory left", MEMORY),
    ("DefaultCPUAllocator: can't allocate memory", "the system has no memory left", MEMORY),
    ("WinError 1455", "the paging file is too small for another worker", PAGING_FILE),
    ("error code: <1455>", "the paging file is too small for a batch in shared memory", PAGING_FILE),  # torch's file mappings on Windows
    ("WinError 1450", "Windows has no resources left for another worker", SYSTEM_RESOURCES),
)
"""Phrases in texts of torch and of the system, with what each means, and its cause."""


class _Signal(NamedTuple):
    """A signal that ends processes, and what it most often means.

    Attributes:
        system_words: what Linux calls it (strsignal); torch repeats these words.
        cause: one of `CAUSES`.
        worker_hint: the meaning in sentences about workers; may be empty.
        script_hint: the meaning in sentences about the script's own process; may be empty.
    """

    system_words: str
    cause: str
    worker_hint: str = ""
    script_hint: str = ""


_MEMORY_HINT = "the system does that when memory runs out"
_SIGNALS = {
    "SIGKILL": _Signal("Killed", KILLED, _MEMORY_HINT, _MEMORY_HINT),
    "SIGBUS": _Signal("Bus error", SHARED_MEMORY, "that is what happens when shared memory (/dev/shm) is full"),
    "SIGSEGV": _Signal("Segmentation fault", NATIVE_CRASH, "that is a crash in native code", "a crash in native code"),
    "SIGABRT": _Signal("Aborted", NATIVE_CRASH),
}
_RECEIVING = re.compile(r"[\\/]multiprocessing[\\/](resource_sharer|reduction|connection)\.py$")
_COLLATING = re.compile(r"[\\/]torch[\\/]utils[\\/]data[\\/]_utils[\\/]collate\.py$")
_GONE = (
    "a DataLoader worker ended while a batch of it was on its way to the main process (%s); "
    "a dataset that raises SystemExit or KeyboardInterrupt ends its worker so"
)
_BOOTSTRAPPING = "before the current process has finished its bootstrapping phase"


def is_user_file(file: str) -> bool:
    """Whether a file is the user's own: the script, wherever it lies, or a file of neither Python, an installed package, nor this agent."""
    if file.startswith("<"):
        return False
    path = os.path.abspath(file)
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script and path == os.path.abspath(script):
        return not path.startswith(_AGENT_FOLDER)
    return not (path.startswith((_STANDARD_LIBRARY, _AGENT_FOLDER)) or _INSTALLED.search(path))


def user_place(trace: Optional[TracebackType]) -> Optional[Place]:
    """The innermost frame of the user's code in a traceback."""
    frames = [Place(frame.filename, frame.lineno or 0, frame.name) for frame in traceback.extract_tb(trace)]
    return _innermost(frames)


def limit_in_text(text: str) -> Optional[str]:
    """The system limit, one of `CAUSES`, that a text of torch or of the system names; None if it names none."""
    return next((cause for sign, _, cause in _LIMITS if sign in text), None)


class ProcessEnd(NamedTuple):
    """How a process ended.

    Attributes:
        words: the rest of a sentence that begins with the process.
        cause: one of `CAUSES`; None if the end shows none.
    """

    words: str
    cause: Optional[str]


def end_of_process(status: int) -> ProcessEnd:
    """How the script's process or another interpreter ended, by its exit status as Popen gives it: minus the signal, if one ended it."""
    cause = _cause_of_exit(status)
    if status < 0:
        name = _signal_name(-status)
        hint = _SIGNALS[name].script_hint if name in _SIGNALS else ""
        return ProcessEnd("was killed by %s%s" % (name, " (%s)" % hint if hint else ""), cause)
    if status >= _LEAST_NTSTATUS_WARNING:
        return ProcessEnd("crashed with status 0x%08X" % (status & 0xFFFFFFFF), cause)
    return ProcessEnd("ended by itself with exit status %d" % status, cause)


def _end_of_worker(exit_code: Optional[int]) -> ProcessEnd:
    """How a worker ended, by its exit code as multiprocessing gives it; None: torch does not give it."""
    if exit_code is None:
        return ProcessEnd("ended unexpectedly", None)
    words = "was killed by signal %d" % -exit_code if exit_code < 0 else "ended with exit code %d" % exit_code
    return ProcessEnd(words, _cause_of_exit(exit_code))


def _end_of_worker_by_signal(system_words: str) -> ProcessEnd:
    """How a worker ended, by the system's words for the signal that killed it."""
    found = next((one for one in _SIGNALS.values() if one.system_words == system_words), None)
    hint = " (%s)" % found.worker_hint if found is not None and found.worker_hint else ""
    return ProcessEnd("was killed by signal %s%s" % (system_words, hint), None if found is None else found.cause)


def _cause_of_exit(status: int) -> Optional[str]:
    if status >= 0:
        return NATIVE_CRASH if status >= _LEAST_NTSTATUS_ERROR else None
    known = _SIGNALS.get(_signal_name(-status))
    return None if known is None else known.cause


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def describe(error: BaseException, sample: Optional[int] = None, exit_code: Optional[int] = None) -> ErrorInfo:
    """Describes what went wrong, as the app shows it.

    Args:
        error: the exception in the main process; exceptions of a worker are recognised in torch's wrapping.
        sample: index of the sample that was being read, where known.
        exit_code: exit code of a worker that died, for errors of torch that do not say how it ended.
    """
    if isinstance(error, AgentError):
        return error.info
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, SyntaxError) and error.filename and is_user_file(error.filename):
        line = error.lineno or 1
        message = "%s, line %d: %s" % (os.path.basename(error.filename), line, error.msg)
        return ErrorInfo(type(error).__name__, message, text, os.path.abspath(error.filename), line)
    own_text = text_of(error)
    died = _DIED.search(text) if _DIED.search(own_text) else None  # its causes say more: the exit code, the signal
    if died:
        pids = [int(pid) for pid in died.group("pids").split(",")]
        return _death(died, exit_code, text, pids)
    if _BOOTSTRAPPING in " ".join(own_text.split()):  # the phrase may be broken across lines
        return _with_place(MAIN_GUARD, "the script starts workers while it is imported, outside of a main guard", text, error)
    for sign, reason, cause in _LIMITS:
        if sign in own_text:
            # Found line by line: in a worker's text it is one of the last.
            named_line = next((part for part in own_text.splitlines() if sign in part), own_text)
            return _with_place(LIMIT, "%s: %s" % (reason, _first_line(named_line)), text, error, cause)
    wrapped = _FROM_WORKER.match(own_text)
    if isinstance(error, MemoryError) and not wrapped:
        return _with_place(LIMIT, "there was no memory left (MemoryError)", text, error, MEMORY)
    if wrapped:
        return _describe_wrapped(wrapped, own_text, text, sample)
    kind = type(error).__name__
    place = user_place(error.__traceback__)
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if place is None and isinstance(error, (OSError, EOFError)) and any(_RECEIVING.search(file) for file in frames):
        return ErrorInfo(WORKER_DIED, _GONE % kind, text)
    return _sentence(kind, own_text, place, _at_sample(sample) + _in_collate(place, frames), text)


def _describe_wrapped(match: "re.Match[str]", own_text: str, text: str, sample: Optional[int]) -> ErrorInfo:
    """Describes an exception of a worker, which torch passes on as text."""
    kind = match.group("kind")
    frames = [Place(m.group("file"), int(m.group("line")), m.group("function")) for m in _FRAME.finditer(own_text)]
    last = [line for line in own_text.splitlines() if line.strip()][-1].strip()
    message = last.partition(": ")[2] if last.partition(":")[0].rpartition(".")[2] == kind else ""
    where = "" if match.group("worker") is None else ", worker %s" % match.group("worker")
    place = _innermost(frames)
    info = _sentence(kind, message, place, _at_sample(sample) + where + _in_collate(place, [frame.file for frame in frames]), text)
    if kind == "MemoryError":
        return ErrorInfo(LIMIT, "there was no memory left: %s" % info.message, text, info.file, info.line, cause=MEMORY)
    return info


def _in_collate(place: Optional[Place], files: List[str]) -> str:
    """Words for a failure in torch's own collate, whose text names neither samples nor code of the user; else empty."""
    return ", when the samples of a batch were put together" if place is None and any(_COLLATING.search(file) for file in files) else ""


def _sentence(kind: str, message: str, place: Optional[Place], extra: str, text: str) -> ErrorInfo:
    head = _head(kind, message)
    if place is None:
        return ErrorInfo(kind, head + (" (%s)" % extra.lstrip(", ") if extra else ""), text)
    return ErrorInfo(kind, "%s (%s%s)" % (head, place, extra), text, os.path.abspath(place.file), place.line)


def headline(error: BaseException, limit: int = _LINE_CHARACTERS) -> str:
    """An exception's class and the first line of its message."""
    return _head(type(error).__name__, text_of(error), limit)


def _head(kind: str, message: str, limit: int = _LINE_CHARACTERS) -> str:
    return "%s: %s" % (kind, _first_line(message, limit)) if message.strip() else kind


def _with_place(kind: str, message: str, text: str, error: BaseException, cause: Optional[str] = None) -> ErrorInfo:
    place = user_place(error.__traceback__)
    if place is None:
        return ErrorInfo(kind, message, text, cause=cause)
    return ErrorInfo(kind, "%s (%s)" % (message, place), text, os.path.abspath(place.file), place.line, cause=cause)


def _death(died: "re.Match[str]", exit_code: Optional[int], text: str, pids: List[int]) -> ErrorInfo:
    if died.group("signal"):
        end = _end_of_worker_by_signal(died.group("signal").strip())
    else:
        end = _end_of_worker(int(died.group("code")) if died.group("code") else exit_code)
    sentence = "DataLoader worker (pid %s) %s" % (died.group("pids").strip(), end.words)
    return ErrorInfo(WORKER_DIED, sentence, text, pids=pids, cause=end.cause)


def _innermost(frames: List[Place]) -> Optional[Place]:
    return next((frame for frame in reversed(frames) if is_user_file(frame.file)), None)


def text_of(error: BaseException) -> str:
    """The message of an exception; torch's KeyError hides its message behind a repr."""
    if isinstance(error, KeyError) and len(error.args) == 1 and isinstance(error.args[0], str) and "\n" in error.args[0]:
        return str.__str__(error.args[0])
    try:
        return str(error)
    except Exception as second:  # an exception of the user's whose __str__ raises
        return "its message cannot be told (%s)" % type(second).__name__


def _at_sample(sample: Optional[int]) -> str:
    return "" if sample is None else ", sample %d" % sample


def _first_line(message: str, limit: int = _LINE_CHARACTERS) -> str:
    line = next((line.strip() for line in message.splitlines() if line.strip()), "")
    return line if len(line) <= limit else line[: limit - 1] + "…"
