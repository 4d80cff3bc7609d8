"""Finds the part of a value that breaks a limit. Msgspec checks the types before, see `session/values.py`.

Annotations state the limits, see `agent/ranges.py`. Besides, every int must fit 64 bits, no float may exceed `LARGEST_FLOAT`, and
UTF-8 must be able to encode every text. `Any` accepts any number.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any

from loaderscope.agent.ranges import Ascending, OneOf, Range, Short

LARGEST_FLOAT = 1e18
"""No measured value is larger; sums and squares of larger values would overflow."""

_MOST_NESTED = 100
"""Levels of nested values; Python's recursion allows some hundreds."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON can hold and UTF-8 cannot."""

_MOST_SHOWN, _MOST_SHOWN_BITS = 60, 200

_RANGES = {int: Range(-(1 << 63), (1 << 63) - 1), float: Range(-LARGEST_FLOAT, LARGEST_FLOAT)}

_Rules = tuple[Any, ...]
_Misfit = tuple[str, Any]
"""Path to the part that breaks a limit, as Python would write it after the name of the whole value, and the part itself."""


@dataclasses.dataclass(frozen=True)
class _Limits:
    """The limits that an annotation states.

    Attributes:
        rules: of the value and of all in it; a rule ignores values of types that it does not concern.
        hints: annotations of its parts by name, key or position.
        other_hint: the annotation of its other parts.
    """

    rules: _Rules = ()
    hints: dict[Any, Any] = dataclasses.field(default_factory=dict)
    other_hint: Any = Any

    @functools.cached_property
    def of_parts(self) -> dict[Any, _Limits]:
        """Limits by the keys of `hints`. Made at first use, because a type may contain itself."""
        return {key: _limits(hint) for key, hint in self.hints.items()}

    @functools.cached_property
    def of_others(self) -> _Limits:
        return _limits(self.other_hint)


_NO_LIMITS = _Limits()


def misfit(value: Any, hint: Any) -> str | None:
    """Returns which part of a value breaks a limit of its annotation, or None if none does.

    Returns:
        a clause such as "epochs[0].batches is -1".
    """
    found = _misfit(value, _limits(hint), (), _MOST_NESTED)
    if found is None:
        return None
    place, part = found
    return f"{place.lstrip('.')[:_MOST_SHOWN] or 'it'} is {_shown(part)}"


def _misfit(value: Any, limits: _Limits, outer_rules: _Rules, levels: int) -> _Misfit | None:
    """Finds the first part that breaks a limit, at most `levels` levels deep."""
    if value is None or isinstance(value, bool):
        return None
    rules = limits.rules + outer_rules
    for rule in rules:
        if not _is_kept(rule, value):
            return "", value
    if isinstance(value, str):
        return None if value.isascii() or not _SURROGATE.search(value) else ("", value)
    if isinstance(value, int | float):
        return None
    if not levels:
        return "", value
    if isinstance(value, dict) and (bad_key := next((key for key in value if _misfit(key, _NO_LIMITS, (), 0)), None)) is not None:
        return "", bad_key
    of_parts, of_others = limits.of_parts, limits.of_others
    for key, part in _parts(value):
        found = _misfit(part, of_parts.get(key, of_others), rules, levels - 1)
        if found is not None:
            path = f".{key}" if key in of_parts and isinstance(key, str) else f"[{_shown(key)}]"
            return f"{path}{found[0]}", found[1]
    return None


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """Returns the parts of a value by key, position or name of a field; none of bytes."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    return vars(value).items() if dataclasses.is_dataclass(value) else ()


@functools.cache
def _limits(hint: Any) -> _Limits:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inner = _limits(arguments[0])
        return dataclasses.replace(inner, rules=arguments[1:] + inner.rules)
    if origin in (types.UnionType, typing.Union):
        options = [_limits(option) for option in arguments]
        hints = {key: one for option in options for key, one in option.hints.items()}
        other_hint = next((option.other_hint for option in options if option.other_hint is not Any), Any)
        return _Limits(sum((option.rules for option in options), ()), hints, other_hint)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _Limits(hints=dict(enumerate(arguments)))
    if origin in (list, tuple, dict):
        return _Limits(other_hint=arguments[1] if origin is dict else arguments[0])
    if dataclasses.is_dataclass(hint) or typing.is_typeddict(hint):
        return _Limits(hints=typing.get_type_hints(hint, include_extras=True))
    return _Limits((_RANGES[hint],)) if hint in _RANGES else _NO_LIMITS


def _is_kept(rule: Any, value: Any) -> bool:
    """Whether a value keeps a rule, or is of a type that the rule does not concern."""
    if isinstance(rule, Range):
        return not isinstance(value, int | float) or rule.least <= value <= rule.most
    if isinstance(rule, OneOf):
        return not isinstance(value, str) or value in rule.words
    if isinstance(rule, Short):
        return not isinstance(value, str) or (len(value) <= rule.characters and "\0" not in value)
    if isinstance(rule, Ascending):
        return not isinstance(value, list | tuple) or all(sooner <= later for sooner, later in itertools.pairwise(value))
    raise TypeError(f"there is no check for the rule {rule!r}")


def _shown(value: Any) -> str:
    """Returns a value in few printable characters."""
    if isinstance(value, int) and value.bit_length() > _MOST_SHOWN_BITS:
        return "a number of too many digits"
    text = ascii(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
