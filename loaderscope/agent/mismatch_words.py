"""Words for how samples that could not be put together differ."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

_MAX_LISTED = 3
_LIMIT_AND_ADVICE = {
    "key": ("takes the keys of the first sample from all", "give all samples the same keys"),
    "type": ("puts only equal types together", "make them of one type"),
    "length": ("takes only lists of equal length", "pad or cut them"),
    "shape": ("can only stack equal shapes", "pad or crop them"),
    "dtype": ("cannot stack these", "convert them to one dtype"),
    "device": ("stacks on one device only", "move them to one device"),
}
"""By the aspect in which samples differ: what the collating function requires, and what to do."""

Path = Tuple[Any, ...]


class Difference(NamedTuple):
    """The aspect in which values differ, and each value's text in it; `key` is the key that some have and some lack."""

    aspect: str
    texts: List[str]
    key: Any = None


class Location(NamedTuple):
    """Where in the samples the differing values are."""

    path: Path
    samples: List[int]
    """Positions in the batch."""


class SampleNames:
    """Names samples by their indices; by their positions where the indices are unknown."""

    def __init__(self, indices: Any, count: int) -> None:
        known = type(indices) is list and len(indices) == count and all(type(index) is int for index in indices)
        self._indices: Optional[List[int]] = list(indices) if known else None

    def of(self, positions: List[int]) -> str:
        """Returns the subject of a sentence: sample 37, samples 3 and 5, 8 samples (0, 2, 4 …)."""
        if self._indices is None:
            return _counted("the sample at position ", "the samples at positions ", "samples (positions ", positions)
        return _counted("sample ", "samples ", "samples (", [self._indices[position] for position in positions])


class EntryNames(SampleNames):
    """Names the entries that a collate_fn made of the samples, by their positions in the list that it handed on."""

    def __init__(self) -> None:
        super().__init__(None, 0)

    def of(self, positions: List[int]) -> str:
        return "%s of what collate_fn puts together" % _counted("entry ", "entries ", "entries (", positions)


def _counted(one: str, few: str, many: str, numbers: List[int]) -> str:
    texts = [str(number) for number in numbers]
    if len(texts) == 1:
        return one + texts[0]
    if len(texts) <= _MAX_LISTED:
        return "%s%s and %s" % (few, ", ".join(texts[:-1]), texts[-1])
    return "%d %s%s …)" % (len(texts), many, ", ".join(texts[:_MAX_LISTED]))


def sentence(difference: Difference, location: Location, names: SampleNames, collate_name: str, own_collate_fn: bool) -> str:
    """Says which samples differ from the others and how, why that matters, and what to do.

    Args:
        difference: the difference between the values that could not be put together.
        location: where the values are in the samples, or in the entries that a collate_fn made of them.
        names: names the samples.
        collate_name: the function that could not put them together.
        own_collate_fn: whether the user's collate_fn called it.
    """
    groups: Dict[str, List[int]] = {}
    for text, position in zip(difference.texts, location.samples):  # noqa: B905 - Python 3.9
        groups.setdefault(text, []).append(position)
    if difference.aspect == "key":
        difference_words = _key_difference(groups, (*location.path, difference.key), names)
    else:
        difference_words = _value_difference(difference.aspect, groups, location.path, names)
    limit, advice = _LIMIT_AND_ADVICE[difference.aspect]
    return "%s (%s %s): %s in the dataset%s" % (
        difference_words,
        collate_name,
        limit,
        advice,
        " or in collate_fn" if own_collate_fn else ", or give a collate_fn",
    )


_Groups = Dict[str, List[int]]
"""The positions of the samples by the text of their values."""


def _key_difference(groups: _Groups, path: Path, names: SampleNames) -> str:
    having, lacking = groups["has"], groups["lacks"]
    if len(having) < len(lacking):
        return "only %s %s %s" % (names.of(having), "has" if len(having) == 1 else "have", _part(path))
    who = "%s %s" % (names.of(lacking), "has" if len(lacking) == 1 else "have")
    return "%s no %s, which %s" % (who, _part(path), _others(having, "has", "have"))


def _value_difference(aspect: str, groups: _Groups, path: Path, names: SampleNames) -> str:
    if len(groups) == 2:
        (text, positions), (other, others) = sorted(groups.items(), key=lambda group: len(group[1]))
        one = len(positions) == 1
        verb = ("has %s" if one else "have %s") % _part(path) if path else "is" if one else "are"
        return "%s %s of %s %s, %s" % (names.of(positions), verb, aspect, text, _others(others, other, other))
    commonest = sorted(groups.items(), key=lambda group: -len(group[1]))[:_MAX_LISTED]
    shown = ["%s (%s)" % (text, names.of(which) if len(which) == 1 else "%d times" % len(which)) for text, which in commonest]
    what = "have %s of" % _part(path) if path else "are of"
    more = ": " if len(groups) <= _MAX_LISTED else ", such as "
    return "the samples %s %d different %ss%s%s" % (what, len(groups), aspect, more, ", ".join(shown))


def _others(positions: List[int], one: str, many: str) -> str:
    return "the other %s" % one if len(positions) == 1 else "the %d others %s" % (len(positions), many)


def _part(path: Path) -> str:
    texts = ["%d" % key if type(key) is int else '"%s"' % key for key in path]
    if len(texts) > 1:
        return "".join("[%s]" % text for text in texts)
    return "item %s" % texts[0] if type(path[0]) is int else texts[0]
