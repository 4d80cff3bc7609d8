"""Parses the text of a search in the timeline. No Qt."""

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
    """The text of a search makes no sense; the message is a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class SearchQuery:
    """Conditions for the spans and marks to find; None for no condition.

    Attributes:
        text: the typed text in lower case; the search also finds marks that contain it.
        states: the span has one of these states.
        names: the value of the span is one of these numbers of names; for imports.
        lanes: the span is on one of these lanes.
        batch, epoch: the batch of the span within its epoch, and that epoch.
        sample: index of a sample that the span fetched.
        longer_ns: least duration of the span.
        shorter_ns: the span is shorter than this.
        spans: whether to search spans at all, and not marks alone.
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
    spans: bool = True


def parse(text: str, lanes: Mapping[str, str], names: Mapping[int, str], marks: Iterable[str] = ()) -> SearchQuery:
    """Parses the text of a search.

    Args:
        text: the typed text; not empty.
        lanes: keys of the lanes by label.
        names: names of modules by number.
        marks: texts of all marks.

    Raises:
        SearchError: nothing in a timeline has such a name.
    """
    text = " ".join(text.lower().split())
    rest = text
    query = SearchQuery(text)
    for match in _LENGTH.finditer(text):
        is_longer = match[1] in ("longer than", "over") or match[1].startswith(">")
        bound_ns = round(float(match[2].replace(",", ".")) * _UNIT_NS[match[3] or "ms"])
        query = dataclasses.replace(query, longer_ns=bound_ns) if is_longer else dataclasses.replace(query, shorter_ns=bound_ns)
        rest = rest.replace(match[0], " ", 1)
    for match in _NUMBERED.finditer(rest):
        number = int(match[2])
        if match[1] == "batch":
            query = dataclasses.replace(query, batch=number)
        elif match[1] == "epoch":
            query = dataclasses.replace(query, epoch=number)
        else:
            query = dataclasses.replace(query, sample=number)
    rest = " ".join(word for word in _NUMBERED.sub(" ", rest).split() if word != "of")
    if not rest:
        return query
    if _BATCH.fullmatch(rest):
        return dataclasses.replace(query, batch=int(rest.lstrip("#")))
    named = _find_names(rest, {label.lower(): key for label, key in lanes.items()}, names)
    if named is not None:
        return dataclasses.replace(query, states=named.states, names=named.names, lanes=named.lanes)
    if any(text in mark.lower() for mark in marks):
        return dataclasses.replace(query, spans=False)
    raise SearchError(f"Nothing here is called “{rest}”. {HELP}")


@dataclasses.dataclass(frozen=True)
class _Named:
    states: frozenset[int] | None = None
    names: frozenset[int] | None = None
    lanes: frozenset[str] | None = None


def _find_names(rest: str, lanes: Mapping[str, str], names: Mapping[int, str]) -> _Named | None:
    """Finds a state, a lane, or both in either order in the rest of a text."""
    named = _find_states(rest, names)
    if named is not None:
        return named
    # the longest label first: worker 12 begins with worker 1
    for label in sorted(lanes, key=len, reverse=True):
        match = re.search(rf"(?<!\S){re.escape(label)}(?!\S)", rest)
        if match is None:
            continue
        other = " ".join((rest[: match.start()] + rest[match.end() :]).split())
        named = _find_states(other, names) if other else _Named()
        if named is not None:
            return dataclasses.replace(named, lanes=frozenset((lanes[label],)))
    return None


def _find_states(phrase: str, names: Mapping[int, str]) -> _Named | None:
    """Finds the states or modules that a phrase names: a state's whole title, the beginning of one, or a part of a module's name."""
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
