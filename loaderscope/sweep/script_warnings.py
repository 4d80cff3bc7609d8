"""What the user's code said during a trial: warnings, records of logging, and the lines that it only printed to stderr.

The first two are recorded in the trial's processes. Whoever shows them prints them to stderr, too: such lines are left out
here, and so is what is printed only because of Loaderscope.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from loaderscope.agent.layout import REST
from loaderscope.agent.messages import ErrorInfo
from loaderscope.facts.results import ScriptWarning
from loaderscope.sweep.processes.agent_output import OutputLine
from loaderscope.trace.model import Warned

STDERR = "stderr"
FURTHER_LINES = "further lines, which were not kept"
_LEVELS = ("WARNING", "ERROR", "CRITICAL")
MOST_STDERR_TEXTS = 20
MOST_LINES = 20_000
"""Lines of a trial that are looked at in their order; of those behind them only how often each is there."""
MOST_LATER_TEXTS = 5000
"""Behind those only texts that differ in more than their numbers are told apart."""
MOST_CHARACTERS = 4000
"""Of one text."""

_LEAST_WITHIN = 8
"""A shorter message must stand at a line's end to be found in it."""

_SHOWN_WARNING = re.compile(r"^(?P<place>.+:\d+): (?P<kind>\w+): ")
_SOURCE = re.compile(r"  \S")
_WORD_BEGINS = re.compile(r"(?<!\w)(?=\S)")
_NUMBER = re.compile(r"\d+")
_OF_PROCESS = re.compile(r"Process \S+:$")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BAR = re.compile(r"\d+%\||\d+it \[\d")
_CHANGING = re.compile(r"[\d█▏▎▍▌▋▊▉#.,?]+|\s+")
"""What differs between two states of a progress bar."""
_TRACEBACK = "Traceback (most recent call last):"
_LOGGING_FAILED = "--- Logging error ---"
_MOST_FAILED_LINES = 200
_CHAINED = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_AFTER_OUR_KILL = re.compile(r"resource_tracker: (?:There appear to be|process died unexpectedly)|resource_tracker: .*: \[Errno 2\]")


class TrialStderr:
    """Collects the lines of stderr while a trial runs.

    Args:
        offset_ns: what to add to the time of a line to get that of a record.
    """

    def __init__(self, offset_ns: int = 0) -> None:
        self._offset_ns = offset_ns
        self._lines: list[OutputLine] = []
        self._later: collections.Counter[str] = collections.Counter()
        self._alike: dict[str, tuple[str, int]] = {}  # by shape, of lines behind those: the first such line, and how many
        self._more = 0

    def add(self, line: OutputLine) -> None:
        if line.stream != STDERR:
            return
        if len(self._lines) < MOST_LINES:
            self._lines.append(line)
        elif line.text in self._later or len(self._later) < MOST_LATER_TEXTS:
            self._later[line.text] += 1
        elif (shape := _shape(line.text)) in self._alike or len(self._alike) < MOST_LATER_TEXTS:
            first, count = self._alike.get(shape, (line.text, 0))
            self._alike[shape] = first, count + 1
        else:
            self._more += 1

    def warnings(self, warned: Sequence[Warned], error: ErrorInfo | None, in_main: bool) -> list[ScriptWarning]:
        """All that was said, in the order in which it came up first.

        Args:
            warned: what the trial's processes recorded.
            error: why the trial failed, if it did; its traceback is not told again.
            in_main: the trial has no process but main, so that whatever was printed comes from there.
        """
        said = [(row.first_ns, _of_record(row)) for row in warned if not _is_ours(row.text)]
        told = _Told(warned)
        texts: dict[str, tuple[int, str, int]] = {}
        more, more_ns = self._more, self._lines[-1].time_ns if self._more else 0
        for line in _texts(told.others(self._lines)):
            time_ns, text = line.time_ns, line.text
            if _belongs_to(text, error):
                continue
            key = _CHANGING.sub(" ", text) if line.dropped_bytes or _BAR.search(text) else text
            if key in texts or len(texts) < MOST_STDERR_TEXTS:
                first_ns, _, count = texts.get(key, (time_ns, text, 0))
                texts[key] = first_ns, text, count + 1  # of a bar, its last state
            else:
                more, more_ns = more + 1 + text.count("\n"), more_ns or time_ns
        later = self._later + collections.Counter(dict(self._alike.values()))
        for text, count in told.others_of(later):
            if text in texts:
                texts[text] = *texts[text][:2], texts[text][2] + count
            else:
                more, more_ns = more + count, more_ns or self._lines[-1].time_ns
        process = "main" if in_main else None
        said += [(first_ns + self._offset_ns, ScriptWarning(process, STDERR, text, count)) for first_ns, text, count in texts.values()]
        if more:
            said.append((more_ns + self._offset_ns, ScriptWarning(process, STDERR, FURTHER_LINES, more)))
        return [warning for _, warning in sorted(said, key=lambda one: one[0])]


def _of_record(row: Warned) -> ScriptWarning:
    text = row.text if row.text != REST else "further texts, which were not kept"
    return ScriptWarning(row.process, row.kind, text, row.count, row.place or None)


class _Told:
    """Recognises in lines of stderr what is a record of the trial already."""

    def __init__(self, warned: Sequence[Warned]) -> None:
        kept = [row for row in warned if row.text != REST]
        self._rest = {(row.kind, row.place) for row in warned if row.text == REST}
        self._logged = {_first_line(row.text) for row in kept if row.kind in _LEVELS}
        self._all = {_first_line(row.text) for row in kept}
        self._kinds = {row.kind for row in kept if row.kind not in _LEVELS}
        """Whoever shows a Python warning tells its category; a line that only ends with the same words is another."""
        self._sources: set[str] = set()  # lines of source that were shown behind a warning
        self._further_lines = {line.rstrip() for row in kept for line in row.text.splitlines()[1:]}
        self._shapes = {_shape(_first_line(row.text)) for row in kept if (row.kind, row.place) in self._rest and row.kind in _LEVELS}

    def others(self, lines: Iterable[OutputLine]) -> Iterator[OutputLine]:
        """The lines that no record tells, without colours; what is only there because of Loaderscope is left out, too."""
        before = ""  # "told": the line before was; "shown": it showed a warning, behind which a line of its source may follow
        for line in lines:
            text = _COLOURS.sub("", line.text).rstrip()
            if not text or (before and text in self._further_lines):
                continue
            if before == "shown" and _SOURCE.match(text):
                before = ""
                self._sources.add(text)
            elif _is_ours(text):
                before = "shown"
            elif self._tells(text):
                before = "shown" if _SHOWN_WARNING.match(text) else "told"
            else:
                before = ""
                yield line._replace(text=text)

    def others_of(self, counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
        """The same of lines whose order is not known, with their counts. To be called behind `others`."""
        for line, count in counts.items():
            text = _COLOURS.sub("", line).rstrip()
            if text and text not in self._further_lines | self._sources and not _is_ours(text) and not self._tells(text):
                yield text, count

    def _tells(self, text: str) -> bool:
        shown = _SHOWN_WARNING.match(text)
        if shown is not None and (shown["kind"], shown["place"]) in self._rest:
            return True
        messages = self._all if any(kind in text for kind in self._kinds) else self._logged
        if not messages:
            return False
        ends = [text, *(text[place.start() :] for place in _WORD_BEGINS.finditer(text))]
        if any(end in messages for end in ends) or any(len(line) >= _LEAST_WITHIN and line in text for line in messages):
            return True
        return bool(self._shapes) and any(_shape(end) in self._shapes for end in ends)


def _is_ours(text: str) -> bool:
    """Whether it is said only because of Loaderscope."""
    return _AFTER_OUR_KILL.search(text) is not None


def _first_line(text: str) -> str:
    return next((line.rstrip() for line in text.splitlines() if line.strip()), "")


def _shape(text: str) -> str:
    """What two texts that tell of different samples have in common."""
    return _NUMBER.sub("0", text)


def _texts(lines: Iterable[OutputLine]) -> Iterator[OutputLine]:
    """Lines one by one, but as one text each traceback and each account of a record that logging could not format."""
    left = list(lines)
    first = 0
    while first < len(left):
        behind = first + 1
        begins = first + 1 if _OF_PROCESS.match(left[first].text) and behind < len(left) else first
        if left[begins].text.startswith(_TRACEBACK):
            behind = _end_of_traceback(left, begins)
        elif left[first].text == _LOGGING_FAILED:
            ends = (
                place for place, line in enumerate(left[first : first + _MOST_FAILED_LINES], first) if line.text.startswith("Arguments: ")
            )
            behind = next(ends, first) + 1
        yield left[first]._replace(text=_cut("\n".join(line.text for line in left[first:behind])))
        first = behind


def _end_of_traceback(lines: Sequence[OutputLine], first: int) -> int:
    """Behind the line of the exception; what it was raised from, or during, included."""
    end = first + 1
    while end < len(lines) and lines[end].text.startswith(" "):
        end += 1
    end = min(end + 1, len(lines))
    if end + 1 < len(lines) and lines[end].text.startswith(_CHAINED) and lines[end + 1].text.startswith(_TRACEBACK):
        return _end_of_traceback(lines, end + 1)
    return end


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"


def _belongs_to(text: str, error: ErrorInfo | None) -> bool:
    """Whether it is the traceback of the trial's own error, of which the beginning may be lost."""
    lines = [line.strip() for line in text.splitlines()]
    if error is None or _TRACEBACK not in lines[:2]:
        return False
    told = {line.strip() for line in error.traceback.splitlines()}
    return lines[-1] in told and sum(line in told for line in lines) * 2 >= len(lines)
