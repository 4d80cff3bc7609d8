"""What can be searched for in a timeline, and how it is written. No Qt."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.data.state_styles import STYLES

HELP = (
    "Search for a state (fetch, collate, wait, step …), batch 12, sample 345, worker 2, a module's name, the text of a mark, "
    "or a duration: fetch >50 ms."
)

_UNIT_NS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "min": 60e9}
_LENGTH = re.compile(r"(longer than|shorter than|over|under|>=?|<=?)\s*(\d+(?:[.,]\d+)?)\s*(ns|us|µs|μs|ms|min|s)?(?![a-z])")
_NUMBERED = re.compile(r"\b(batch|epoch|sample|index)\s+(\d+)\b")
_BATCH = re.compile(r"#?(\d+)")


class SearchError(Exception):
    """It cannot be told what is searched for; the message is a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class SearchQuery:
    """What a span must be; None makes no difference.

    Attributes:
        states: it is of one of these.
        names: its value is one of these names' numbers; for imports.
        lanes: it is on one of these.
        batch, epoch: its batch within the epoch, and that epoch.
        sample: index of a sample that it fetched.
        longer_ns, shorter_ns: bounds of its duration.
        text: what was typed, in lower case: a mark with it in its text is found too.
    """

    text: str
    states: frozenset[int] | None = None
    names: frozenset[int] | None = None
    lanes: frozenset[str] | None = None
    batch: int | None = None
    epoch: int | None = None
    sample: int | None = None
    longer_ns: int | None = None
    shorter_ns: int | None = None
    spans: bool = True  # whether spans are searched at all, and not marks alone


def parse(text: str, lanes: Mapping[str, str], names: Mapping[int, str], marks: Iterable[str] = ()) -> SearchQuery:
    """What a text asks for.

    Args:
        text: as it was typed; not empty.
        lanes: keys of the lanes, by their label.
        names: names of modules, by their number.
        marks: texts of the marks that are there.

    Raises:
        SearchError: it asks for nothing that could be there.
    """
    text = " ".join(text.lower().split())
    rest = text
    wanted = SearchQuery(text)
    for match in _LENGTH.finditer(text):
        is_longer = match[1] in ("longer than", "over") or match[1].startswith(">")
        bound_ns = round(float(match[2].replace(",", ".")) * _UNIT_NS[match[3] or "ms"])
        wanted = dataclasses.replace(wanted, longer_ns=bound_ns) if is_longer else dataclasses.replace(wanted, shorter_ns=bound_ns)
        rest = rest.replace(match[0], " ", 1)
    for match in _NUMBERED.finditer(rest):
        number = int(match[2])
        if match[1] == "batch":
            wanted = dataclasses.replace(wanted, batch=number)
        elif match[1] == "epoch":
            wanted = dataclasses.replace(wanted, epoch=number)
        else:
            wanted = dataclasses.replace(wanted, sample=number)
    rest = " ".join(word for word in _NUMBERED.sub(" ", rest).split() if word != "of")
    if not rest:
        return wanted
    if _BATCH.fullmatch(rest):
        return dataclasses.replace(wanted, batch=int(rest.lstrip("#")))
    named = _words(rest, {label.lower(): key for label, key in lanes.items()}, names)
    if named is not None:
        return dataclasses.replace(wanted, states=named.states, names=named.names, lanes=named.lanes)
    if any(text in mark.lower() for mark in marks):
        return dataclasses.replace(wanted, spans=False)
    raise SearchError(f"Nothing here is called “{rest}”. {HELP}")


@dataclasses.dataclass(frozen=True)
class _Named:
    states: frozenset[int] | None = None
    names: frozenset[int] | None = None
    lanes: frozenset[str] | None = None


def _words(rest: str, lanes: Mapping[str, str], names: Mapping[int, str]) -> _Named | None:
    """What is left of a text: a state, a lane, or both in either order."""
    named = _states(rest, names)
    if named is not None:
        return named
    # the longest label first: worker 12 begins with worker 1
    for label in sorted(lanes, key=len, reverse=True):
        match = re.search(rf"(?<!\S){re.escape(label)}(?!\S)", rest)
        if match is None:
            continue
        other = " ".join((rest[: match.start()] + rest[match.end() :]).split())
        named = _states(other, names) if other else _Named()
        if named is not None:
            return dataclasses.replace(named, lanes=frozenset((lanes[label],)))
    return None


def _states(phrase: str, names: Mapping[int, str]) -> _Named | None:
    """The states or modules that a phrase names: by its whole word, by the beginning of one, or by a module."""
    words = {state: {style.title.lower(), style.legend.title.lower()} for state, style in STYLES.items()}
    exact = frozenset(state for state, called in words.items() if phrase in called)
    if exact:
        return _Named(exact)
    module = phrase.removeprefix("import ").strip()
    modules = frozenset(number for number, name in names.items() if module in name.lower())
    beginning = frozenset(state for state, called in words.items() if any(word.startswith(phrase) for word in called))
    if beginning and not (modules and phrase != module):
        return _Named(beginning)
    return _Named(frozenset((int(State.IMPORT),)), modules) if modules else None
