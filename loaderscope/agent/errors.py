"""Exceptions of the user's code, of torch and of ours, as one clear sentence with file and line."""

from __future__ import annotations

import os
import re
import sys
import traceback
from types import TracebackType
from typing import List, NamedTuple, Optional, Tuple

from .messages import ErrorInfo

WORKER_DIED = "worker-died"
NOT_PICKLABLE = "not-picklable"
MAIN_GUARD = "main-guard"
LIMIT = "limit"
UNSUPPORTED = "unsupported"
UNEXPECTED = "ended unexpectedly"

_LINE_CHARACTERS = 300
_USAGE_EXIT = 2  # how argparse, and what follows its custom, ends a program whose arguments are wrong


class AgentError(Exception):
    """Something that the agent itself found wrong; `kind` is one of ErrorInfo's."""

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
    ("Too many open files", "the process ran out of file descriptors"),
    ("received 0 items of ancdata", "the process ran out of file descriptors"),
    ("unable to allocate shared memory", "shared memory (/dev/shm) is full"),
    ("torch_shm_manager", "shared memory (/dev/shm) is full"),
    ("unable to mmap", "memory could not be mapped"),
    ("No space left on device", "the disk is full"),
    ("Cannot allocate memory", "the system has no memory left"),
    ("DefaultCPUAllocator: can't allocate memory", "the system has no memory left"),
    ("WinError 1455", "the paging file is too small for another worker"),
    ("error code: <1455>", "the paging file is too small for a batch in shared memory"),  # torch's own file mappings on Windows
    ("WinError 1450", "Windows has no resources left for another worker"),
)
_SIGNAL_HINTS = {
    "Killed": "the system does that when memory runs out",
    "Bus error": "that is what happens when shared memory (/dev/shm) is full",
    "Segmentation fault": "that is a crash in native code",
}
_RECEIVING = re.compile(r"[\\/]multiprocessing[\\/](resource_sharer|reduction|connection)\.py$")
_COLLATING = re.compile(r"[\\/]torch[\\/]utils[\\/]data[\\/]_utils[\\/]collate\.py$")
_GONE = (
    "a DataLoader worker ended while a batch of it was on its way to the main process (%s); "
    "a dataset that raises SystemExit or KeyboardInterrupt ends its worker so"
)
_BOOTSTRAPPING = "before the current process has finished its bootstrapping phase"


def is_user_file(file: str) -> bool:
    """Whether a file is the user's own: the script, wherever it lies, else none of Python, of an installed package, or of this agent."""
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


def describe(error: BaseException, sample: Optional[int] = None) -> ErrorInfo:
    """What went wrong, as the app shows it.

    Args:
        error: as it reached the main process; exceptions of a worker are recognised in torch's wrapping.
        sample: index of the sample that was read when it happened, where that is known.
    """
    if isinstance(error, AgentError):
        return error.info
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, SyntaxError) and error.filename and is_user_file(error.filename):
        line = error.lineno or 1
        message = "%s, line %d: %s" % (os.path.basename(error.filename), line, error.msg)
        return ErrorInfo(type(error).__name__, message, text, os.path.abspath(error.filename), line)
    own_text = _text_of(error)
    died = _DIED.search(text) if _DIED.search(own_text) else None  # what caused it tells more: the exit code, the signal
    if died:
        pids = [int(pid) for pid in died.group("pids").split(",")]
        return ErrorInfo(WORKER_DIED, _death_sentence(died), text, pids=pids)
    if _BOOTSTRAPPING in " ".join(own_text.split()):  # its lines are broken in the midst
        return _with_place(MAIN_GUARD, "the script starts workers while it is imported, outside of a main guard", text, error)
    for sign, reason in _LIMITS:
        if sign in own_text:
            told = next((part for part in own_text.splitlines() if sign in part), own_text)  # a worker's stands last of many
            return _with_place(LIMIT, "%s: %s" % (reason, _first_line(told)), text, error)
    wrapped = _FROM_WORKER.match(own_text)
    if isinstance(error, MemoryError) and not wrapped:
        return _with_place(LIMIT, "there was no memory left (MemoryError)", text, error)
    if wrapped:
        return _describe_wrapped(wrapped, own_text, text, sample)
    kind = type(error).__name__
    place = user_place(error.__traceback__)
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if place is None and isinstance(error, (OSError, EOFError)) and any(_RECEIVING.search(file) for file in frames):
        return ErrorInfo(WORKER_DIED, _GONE % kind, text)
    return _sentence(kind, own_text, place, _at_sample(sample) + _in_collate(place, frames), text)


def _describe_wrapped(match: "re.Match[str]", own_text: str, text: str, sample: Optional[int]) -> ErrorInfo:
    """An exception that torch carried over from a worker as text."""
    kind = match.group("kind")
    frames = [Place(m.group("file"), int(m.group("line")), m.group("function")) for m in _FRAME.finditer(own_text)]
    last = [line for line in own_text.splitlines() if line.strip()][-1].strip()
    message = last.partition(": ")[2] if last.partition(":")[0].rpartition(".")[2] == kind else ""
    where = "" if match.group("worker") is None else ", worker %s" % match.group("worker")
    place = _innermost(frames)
    info = _sentence(kind, message, place, _at_sample(sample) + where + _in_collate(place, [frame.file for frame in frames]), text)
    if kind == "MemoryError":
        return ErrorInfo(LIMIT, "there was no memory left: %s" % info.message, text, info.file, info.line)
    return info


def _in_collate(place: Optional[Place], files: List[str]) -> str:
    """That samples which differ were to become one batch: torch's own words for it name neither samples nor code of the user."""
    return ", when the samples of a batch were put together" if place is None and any(_COLLATING.search(file) for file in files) else ""


def _sentence(kind: str, message: str, place: Optional[Place], extra: str, text: str) -> ErrorInfo:
    head = _head(kind, message)
    if place is None:
        return ErrorInfo(kind, head + (" (%s)" % extra.lstrip(", ") if extra else ""), text)
    return ErrorInfo(kind, "%s (%s%s)" % (head, place, extra), text, os.path.abspath(place.file), place.line)


def headline(error: BaseException, limit: int = _LINE_CHARACTERS) -> str:
    """An exception's class and the first line of its message."""
    return _head(type(error).__name__, _text_of(error), limit)


def _head(kind: str, message: str, limit: int = _LINE_CHARACTERS) -> str:
    return "%s: %s" % (kind, _first_line(message, limit)) if message.strip() else kind


def _with_place(kind: str, message: str, text: str, error: BaseException) -> ErrorInfo:
    place = user_place(error.__traceback__)
    if place is None:
        return ErrorInfo(kind, message, text)
    return ErrorInfo(kind, "%s (%s)" % (message, place), text, os.path.abspath(place.file), place.line)


def _death_sentence(died: "re.Match[str]") -> str:
    who = "DataLoader worker (pid %s)" % died.group("pids").strip()
    if died.group("signal"):
        hint = _SIGNAL_HINTS.get(died.group("signal").strip())
        return "%s was killed by signal %s%s" % (who, died.group("signal").strip(), " (%s)" % hint if hint else "")
    if died.group("code"):
        return "%s %s" % (who, with_code(int(died.group("code"))))
    return "%s %s" % (who, UNEXPECTED)


def with_code(code: int) -> str:
    """How a process ended, as the end of a sentence."""
    return "was killed by signal %d" % -code if code < 0 else "ended with exit code %d" % code


def _innermost(frames: List[Place]) -> Optional[Place]:
    return next((frame for frame in reversed(frames) if is_user_file(frame.file)), None)


def _text_of(error: BaseException) -> str:
    """The message of an exception; torch hides that of a KeyError behind a repr of its own."""
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


def system_exit(error: SystemExit, what: str) -> ErrorInfo:
    """The sentence for a script that ends itself; `what` says what it had not reached."""
    place = user_place(error.__traceback__)
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    code = error.code if error.code is not None else 0
    at: Tuple[str, Optional[str], Optional[int]] = ("the script", None, None)
    if place is not None:
        at = ("%s, line %d:" % (os.path.basename(place.file), place.line), os.path.abspath(place.file), place.line)
    message = "%s sys.exit(%r) ended the script %s" % (at[0], code, what)
    if code == _USAGE_EXIT:
        message += "; the arguments that it was given are not those that it needs"
    return ErrorInfo("SystemExit", message, text, at[1], at[2])
