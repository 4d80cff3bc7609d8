"""Finds in the stacks of a trial's processes where each of them stands: file, line and function."""

from __future__ import annotations

import dataclasses
import linecache
import os
import re
from collections.abc import Iterable, Mapping

_PROCESS = re.compile(r"^(?P<name>main|worker-\d+|\w+) \(pid (?P<pid>\d+)\):$", re.MULTILINE)
"""The title of a process's stacks, see `reader.read_stacks`."""
_HANG = re.compile(r"^Timeout \(.*\)!$", re.MULTILINE)
"""The title of a dump by the timer of `agent/stackdump.py`; a process that hangs for long dumps again and again."""
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x[0-9A-Fa-f]+.*\(most recent call first\):$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$', re.MULTILINE)
_INSTALLED = re.compile(
    r"[\\/](?:site|dist)-packages[\\/]|[\\/]lib[\\/]python3\.\d+t?[\\/]|[\\/]Python3\d+[\\/]Lib[\\/]|[\\/]loaderscope[\\/]agent[\\/]|^<"
)
"""Files that are not the user's own: of installed packages, of Python and of this tool; code without a file."""
_WORKER_THREAD_FILE = re.compile(r"[\\/]loaderscope[\\/]agent[\\/]thread_loader\.py$")
WORKER_THREAD = "worker thread"


@dataclasses.dataclass(frozen=True)
class ProcessPlace:
    """Where a process of a trial stands.

    Attributes:
        process: main, worker-0, worker-1 ...; `WORKER_THREAD` for a worker that is a thread of main.
        pid: its pid.
        file: of the innermost frame in the user's own files; if there is none, of the innermost frame.
        line: of that frame.
        function: of that frame.
        is_users: whether the file is the user's own.
    """

    process: str
    pid: int
    file: str
    line: int
    function: str
    is_users: bool

    @property
    def at(self) -> str:
        """Where: "train.py:87 in __getitem__"."""
        name = self.file.replace("\\", "/").rpartition("/")[2]
        return f"{name}:{self.line}" + ("" if self.function.startswith("<") else f" in {self.function}")

    @property
    def words(self) -> str:
        """The process, and where it stands: "worker 1: train.py:87 in __getitem__"."""
        return f"{self.process.replace('-', ' ')}: {self.at}"


def process_places(stacks: str, script: str = "", newest_pids: Mapping[str, int] | None = None) -> list[ProcessPlace]:
    """Returns where each process stands, main first and then the workers in order.

    Args:
        stacks: the text of `reader.read_stacks`, perhaps with other text behind it; of several dumps of a process, the last counts.
        script: the path of the user's script, which is the user's own wherever it lies.
        newest_pids: by name, the process that still runs: stacks of those before it do not count. None: all count.
    """
    titles = list(_PROCESS.finditer(stacks))
    ends = [*(title.start() for title in titles[1:]), len(stacks)]
    places = [
        _place(name, int(title["pid"]), frames, script)
        for title, end in zip(titles, ends, strict=False)
        if newest_pids is None or newest_pids.get(title["name"]) == int(title["pid"])
        for name, frames in _threads(title["name"], stacks[title.end() : end])
        if frames
    ]
    return sorted(places, key=_order)


def _threads(process: str, text: str) -> Iterable[tuple[str, list[re.Match[str]]]]:
    """Yields the frames of the process's main thread, which is dumped last, and those of its threads that are workers."""
    hangs = list(_HANG.finditer(text))
    last = text[hangs[-1].end() :] if hangs else text
    heads = list(_THREAD.finditer(last))
    ends = [*(head.start() for head in heads[1:]), len(last)]
    threads = [list(_FRAME.finditer(last, head.end(), end)) for head, end in zip(heads, ends, strict=False)]
    for frames in threads[:-1]:
        if any(_WORKER_THREAD_FILE.search(frame["file"]) for frame in frames):
            yield WORKER_THREAD, frames
    if threads:
        yield process, threads[-1]


def _place(process: str, pid: int, frames: list[re.Match[str]], script: str) -> ProcessPlace:
    users = next((frame for frame in frames if _is_users(frame["file"], script)), None)
    frame = users or frames[0]
    return ProcessPlace(process, pid, frame["file"], int(frame["line"]), frame["function"], users is not None)


def _is_users(file: str, script: str) -> bool:
    return bool(script and os.path.normcase(file) == os.path.normcase(os.path.abspath(script))) or not _INSTALLED.search(file)


def _order(place: ProcessPlace) -> tuple[int, int, str]:
    kind, _, number = place.process.partition("-")
    return (0 if kind == "main" else 1), int(number) if number.isdigit() else 0, place.process


def with_source_lines(stacks: str, script: str = "") -> str:
    """Returns the stacks with the line of code below each frame in the user's own files, as tracebacks have it."""

    def with_line(frame: re.Match[str]) -> str:
        code = linecache.getline(frame["file"], int(frame["line"])).strip() if _is_users(frame["file"], script) else ""
        return f"{frame.group()}\n    {code}" if code else frame.group()

    return _FRAME.sub(with_line, stacks)


def most_telling(places: Iterable[ProcessPlace]) -> ProcessPlace | None:
    """Returns the place of the first worker that stands in the user's own code, else that of main if it does; None if none does."""
    in_own_code = [place for place in places if place.is_users]
    return next((place for place in in_own_code if place.process != "main"), in_own_code[0] if in_own_code else None)


def places_text(places: Iterable[ProcessPlace]) -> str:
    """Returns the places in one line; processes at the same place are named together: "main: …; workers 0, 1: train.py:87 in …"."""
    by_place: dict[tuple[str, bool], list[ProcessPlace]] = {}
    for place in places:
        by_place.setdefault((place.at, place.process == "main"), []).append(place)
    return "; ".join(f"{_names(together)}: {at}" for (at, _), together in by_place.items())


def _names(together: list[ProcessPlace]) -> str:
    numbers = [place.process.partition("-")[2] for place in together]
    if len(together) == 1:
        return together[0].words.partition(":")[0]
    if not all(numbers):
        return f"{len(together)} {together[0].process}s"
    shown = numbers if len(numbers) <= 4 else [*numbers[:3], "…", numbers[-1]]
    return f"workers {', '.join(shown)}"
