"""Collects the messages of the user's code during a trial: warnings, records of logging, and other lines of stderr.

The trial's processes record the first two. Code that shows them prints them to stderr, too; this module leaves such lines out, as well
as lines that are printed only because of Loaderscope.
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
"""Lines of a trial that are kept in their order; later lines are only counted, by their text."""
MOST_LATER_TEXTS = 5000
"""After this many different texts, later lines that differ only in their numbers count as the same."""
MOST_CHARACTERS = 4000
"""Longer texts are cut."""

_LEAST_INNER_CHARACTERS = 8
"""A shorter message is recognised only at the end of a line, not within it."""

_SHOWN_WARNING = re.compile(r"^(?P<place>.+:\d+): (?P<kind>\w+): ")
_SOURCE = re.compile(r"  \S")
_WORD_BEGINS = re.compile(r"(?<!\w)(?=\S)")
_NUMBER = re.compile(r"\d+")
_OF_PROCESS = re.compile(r"Process \S+:$")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BAR = re.compile(r"\d+%\||\d+it \[\d")
_CHANGING = re.compile(r"[\d█▏▎▍▌▋▊▉#.,?]+|\s+")
"""The parts in which two states of a progress bar differ."""
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
        offset_ns: add it to the time of a line to get the time of a record.
    """

    def __init__(self, offset_ns: int = 0) -> None:
        self._offset_ns = offset_ns
        self._lines: list[OutputLine] = []
        self._later: collections.Counter[str] = collections.Counter()
        self._later_alike: dict[str, tuple[str, int]] = {}  # by shape, of still later lines: the first such line, and their number
        self._uncounted_lines = 0

    def add(self, line: OutputLine) -> None:
        """Keeps a line if it is of stderr."""
        if line.stream != STDERR:
            return
        if len(self._lines) < MOST_LINES:
            self._lines.append(line)
        elif line.text in self._later or len(self._later) < MOST_LATER_TEXTS:
            self._later[line.text] += 1
        elif (shape := _shape(line.text)) in self._later_alike or len(self._later_alike) < MOST_LATER_TEXTS:
            first, count = self._later_alike.get(shape, (line.text, 0))
            self._later_alike[shape] = first, count + 1
        else:
            self._uncounted_lines += 1

    def warnings(self, warned: Sequence[Warned], error: ErrorInfo | None, in_main: bool) -> list[ScriptWarning]:
        """Returns all messages, each once with its count, in the order of their first time.

        Args:
            warned: the records of the trial's processes.
            error: why the trial failed, if it did; its traceback is left out.
            in_main: whether main is the only process of the trial, so that all output comes from there.
        """
        messages = [(row.first_ns, _from_record(row)) for row in warned if not _is_ours(row.text)]
        recorded = _RecordedTexts(warned)
        texts: dict[str, tuple[int, str, int]] = {}
        more, more_ns = self._uncounted_lines, self._lines[-1].time_ns if self._uncounted_lines else 0
        for line in _join_blocks(recorded.unrecorded(self._lines)):
            time_ns, text = line.time_ns, line.text
            if _belongs_to(text, error):
                continue
            key = _CHANGING.sub(" ", text) if line.dropped_bytes or _BAR.search(text) else text
            if key in texts or len(texts) < MOST_STDERR_TEXTS:
                first_ns, _, count = texts.get(key, (time_ns, text, 0))
                texts[key] = first_ns, text, count + 1  # the last state of a progress bar
            else:
                more, more_ns = more + 1 + text.count("\n"), more_ns or time_ns
        later = self._later + collections.Counter(dict(self._later_alike.values()))
        for text, count in recorded.unrecorded_counts(later):
            if text in texts:
                texts[text] = *texts[text][:2], texts[text][2] + count
            else:
                more, more_ns = more + count, more_ns or self._lines[-1].time_ns
        process = "main" if in_main else None
        messages += [(first_ns + self._offset_ns, ScriptWarning(process, STDERR, text, count)) for first_ns, text, count in texts.values()]
        if more:
            messages.append((more_ns + self._offset_ns, ScriptWarning(process, STDERR, FURTHER_LINES, more)))
        return [warning for _, warning in sorted(messages, key=lambda one: one[0])]


def _from_record(row: Warned) -> ScriptWarning:
    text = row.text if row.text != REST else "further texts, which were not kept"
    return ScriptWarning(row.process, row.kind, text, row.count, row.place or None)


class _RecordedTexts:
    """Recognises lines of stderr that repeat a record of the trial."""

    def __init__(self, warned: Sequence[Warned]) -> None:
        kept = [row for row in warned if row.text != REST]
        self._rest = {(row.kind, row.place) for row in warned if row.text == REST}
        self._logged = {_first_line(row.text) for row in kept if row.kind in _LEVELS}
        self._all = {_first_line(row.text) for row in kept}
        self._kinds = {row.kind for row in kept if row.kind not in _LEVELS}
        """A shown Python warning includes its category; a line that only ends with the same words is not the warning."""
        self._sources: set[str] = set()  # lines of source that were shown behind a warning
        self._further_lines = {line.rstrip() for row in kept for line in row.text.splitlines()[1:]}
        self._shapes = {_shape(_first_line(row.text)) for row in kept if (row.kind, row.place) in self._rest and row.kind in _LEVELS}

    def unrecorded(self, lines: Iterable[OutputLine]) -> Iterator[OutputLine]:
        """The lines that repeat no record and are not due to Loaderscope, without colours."""
        before = ""  # the line before: "recorded", or "shown" if it showed a warning, so that a line of source may follow
        for line in lines:
            text = _COLOURS.sub("", line.text).rstrip()
            if not text or (before and text in self._further_lines):
                continue
            if before == "shown" and _SOURCE.match(text):
                before = ""
                self._sources.add(text)
            elif _is_ours(text):
                before = "shown"
            elif self._repeats_a_record(text):
                before = "shown" if _SHOWN_WARNING.match(text) else "recorded"
            else:
                before = ""
                yield line._replace(text=text)

    def unrecorded_counts(self, counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
        """The same for counted lines whose order is unknown. Call it after `unrecorded`, which learns lines of source."""
        for line, count in counts.items():
            text = _COLOURS.sub("", line).rstrip()
            if text and text not in self._further_lines | self._sources and not _is_ours(text) and not self._repeats_a_record(text):
                yield text, count

    def _repeats_a_record(self, text: str) -> bool:
        shown = _SHOWN_WARNING.match(text)
        if shown is not None and (shown["kind"], shown["place"]) in self._rest:
            return True
        messages = self._all if any(kind in text for kind in self._kinds) else self._logged
        if not messages:
            return False
        ends = [text, *(text[place.start() :] for place in _WORD_BEGINS.finditer(text))]
        if any(end in messages for end in ends) or any(len(line) >= _LEAST_INNER_CHARACTERS and line in text for line in messages):
            return True
        return bool(self._shapes) and any(_shape(end) in self._shapes for end in ends)


def _is_ours(text: str) -> bool:
    """Whether a text is printed only because Loaderscope ends processes."""
    return _AFTER_OUR_KILL.search(text) is not None


def _first_line(text: str) -> str:
    return next((line.rstrip() for line in text.splitlines() if line.strip()), "")


def _shape(text: str) -> str:
    """A text without its numbers; equal for messages about different samples."""
    return _NUMBER.sub("0", text)


def _join_blocks(lines: Iterable[OutputLine]) -> Iterator[OutputLine]:
    """Joins the lines of each traceback, and of each report about a record that logging could not format; other lines stay single."""
    rows = list(lines)
    first = 0
    while first < len(rows):
        end = first + 1
        traceback = first + 1 if _OF_PROCESS.match(rows[first].text) and end < len(rows) else first
        if rows[traceback].text.startswith(_TRACEBACK):
            end = _end_of_traceback(rows, traceback)
        elif rows[first].text == _LOGGING_FAILED:
            last = (row for row, line in enumerate(rows[first : first + _MOST_FAILED_LINES], first) if line.text.startswith("Arguments: "))
            end = next(last, first) + 1
        yield rows[first]._replace(text=_cut("\n".join(line.text for line in rows[first:end])))
        first = end


def _end_of_traceback(lines: Sequence[OutputLine], first: int) -> int:
    """The row after the exception's line; a chained traceback that follows belongs to it."""
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
    """Whether a text is the traceback of the trial's own error; its beginning may be lost."""
    lines = [line.strip() for line in text.splitlines()]
    if error is None or _TRACEBACK not in lines[:2]:
        return False
    error_lines = {line.strip() for line in error.traceback.splitlines()}
    return lines[-1] in error_lines and sum(line in error_lines for line in lines) * 2 >= len(lines)
