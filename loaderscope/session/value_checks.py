"""Whether values that were read are what annotations say, and where they are not.

An int may stand for a float. Ints must fit 64 bits and floats be of a size that can be counted with, whatever they are; what else
they are held to stands in `Annotated`, see `agent/ranges.py`. `Any` is any JSON.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from loaderscope.agent.ranges import Ascending, OneOf, Range, Short

_LEAST_INT, _MOST_INT = -(1 << 63), (1 << 63) - 1
LARGEST_FLOAT = 1e18
"""What is larger is no measured value, and sums and squares of it would not be numbers any more."""

_MOST_NESTED = 100
"""Levels of JSON, of which Python's recursion takes some hundreds."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON can hold and UTF-8 cannot."""

_MOST_SHOWN, _MOST_SHOWN_BITS = 60, 200

Misfit = tuple[str, Any]
"""Where in a value something is not as it should be, as Python would write it behind the name of the whole, and what is there."""

Check = Callable[[Any], "Misfit | None"]


def misfit(value: Any, hint: Any) -> str | None:
    """Why a value, or something that it holds, is not what the annotation says; None where it is.

    Returns:
        the place and the value, to be put behind "because": "epochs[0].batches is -1".
    """
    found = checker(hint)(value)
    return None if found is None else told(found)


def told(found: Misfit) -> str:
    """A misfit in words: "epochs[0].batches is -1"."""
    place, value = found
    return f"{place.lstrip('.')[:_MOST_SHOWN] or 'it'} is {_shown(value)}"


@functools.cache
def checker(hint: Any) -> Check:
    """What finds the first thing in a value that is not as an annotation says."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return functools.partial(_misfit_of_json, levels=_MOST_NESTED)
    if origin is Annotated:
        return _all_of([checker(arguments[0]), *(_rule(rule, arguments[0]) for rule in arguments[1:])])
    if origin in (types.UnionType, typing.Union):
        return _any_of([checker(option) for option in arguments if option is not type(None)], type(None) in arguments)
    if origin is dict:
        return _dict_of(*map(checker, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return tuple_checker([checker(argument) for argument in arguments])
    if origin in (list, tuple):
        return _sequence_of(origin, checker(arguments[0]))
    if typing.is_typeddict(hint):
        return functools.partial(_misfit_of_keys, hint)
    if dataclasses.is_dataclass(hint):
        return functools.partial(_misfit_of_fields, hint)
    return _OF_PLAIN_TYPES.get(hint, lambda value: None if isinstance(value, hint) else ("", value))


def _misfit_of_int(value: Any) -> Misfit | None:
    return None if isinstance(value, int) and not isinstance(value, bool) and _LEAST_INT <= value <= _MOST_INT else ("", value)


def _misfit_of_float(value: Any) -> Misfit | None:
    return None if isinstance(value, float | int) and not isinstance(value, bool) and abs(value) <= LARGEST_FLOAT else ("", value)


def _misfit_of_text(value: Any) -> Misfit | None:
    return None if isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value)) else ("", value)


_OF_PLAIN_TYPES: dict[Any, Check] = {int: _misfit_of_int, float: _misfit_of_float, str: _misfit_of_text}


def _misfit_of_json(value: Any, levels: int) -> Misfit | None:
    """What of a value that may be any JSON cannot be gone through or written again."""
    if isinstance(value, str):
        return _misfit_of_text(value)
    if not isinstance(value, dict | list):
        return None
    if not levels:
        return "", value
    inner = functools.partial(_misfit_of_json, levels=levels - 1)
    return _dict_of(_misfit_of_text, inner)(value) if isinstance(value, dict) else _sequence_of(list, inner)(value)


def _all_of(checks: list[Check]) -> Check:
    def check_all(value: Any) -> Misfit | None:
        for check_one in checks:
            found = check_one(value)
            if found is not None:
                return found
        return None

    return check_all


def _any_of(options: list[Check], may_be_none: bool) -> Check:
    """What is wrong with a value that is none of the options is told of the last of them; there is seldom another."""

    def check_one(value: Any) -> Misfit | None:
        if value is None and may_be_none:
            return None
        found = None
        for option in options:
            found = option(value)
            if found is None:
                return None
        return found

    return check_one


def _dict_of(of_key: Check, of_item: Check) -> Check:
    def check_one(value: Any) -> Misfit | None:
        if not isinstance(value, dict):
            return "", value
        return of_key_error(value) or _first_in(value.items(), of_item)

    def of_key_error(value: dict[Any, Any]) -> Misfit | None:
        return next((found for key in value if (found := of_key(key)) is not None), None)

    return check_one


def _sequence_of(kind: type[Any], of_item: Check) -> Check:
    return lambda value: _first_in(enumerate(value), of_item) if isinstance(value, kind) else ("", value)


def _first_in(items: Iterable[tuple[Any, Any]], of_item: Check) -> Misfit | None:
    for key, item in items:
        found = of_item(item)
        if found is not None:
            return f"[{_shown(key)}]{found[0]}", found[1]
    return None


def tuple_checker(checks: list[Check]) -> Check:
    """What finds the first thing in a tuple that its checks, one an element, find."""

    def check_one(value: Any) -> Misfit | None:
        if not isinstance(value, tuple) or len(value) != len(checks):
            return "", value
        for number, (item, of_item) in enumerate(zip(value, checks, strict=True)):
            found = of_item(item)
            if found is not None:
                return f"[{number}]{found[0]}", found[1]
        return None

    return check_one


def _misfit_of_fields(kind: Any, value: Any) -> Misfit | None:
    if not isinstance(value, kind):
        return "", value
    return _first_named(_checkers(kind), lambda name: getattr(value, name))


def _misfit_of_keys(kind: Any, value: Any) -> Misfit | None:
    if not isinstance(value, dict) or not kind.__required_keys__ <= value.keys():
        return "", value
    return _first_named({name: of_item for name, of_item in _checkers(kind).items() if name in value}, value.__getitem__)


@functools.cache
def _checkers(kind: Any) -> dict[str, Check]:
    """By the names of a dataclass's fields or of a typed dict's keys; made when they are used, as a kind may hold others of its own."""
    return {name: checker(one) for name, one in typing.get_type_hints(kind, include_extras=True).items()}


def _first_named(checks: dict[str, Check], value_of: Callable[[str], Any]) -> Misfit | None:
    for name, of_item in checks.items():
        found = of_item(value_of(name))
        if found is not None:
            return f".{name}{found[0]}", found[1]
    return None


def _rule(rule: Any, kind: Any) -> Check:
    """What finds out whether a value of its kind breaks a rule of its annotation."""
    if isinstance(rule, Range):
        return _number_within(rule) if kind in (int, float) else functools.partial(_numbers_beyond, _number_within(rule))
    if isinstance(rule, Ascending):
        return lambda value: ("", value) if any(later < sooner for sooner, later in itertools.pairwise(value)) else None
    if isinstance(rule, OneOf):
        return lambda value: None if value in rule.words else ("", value)
    if isinstance(rule, Short):
        return lambda value: None if len(value) <= rule.characters and "\0" not in value else ("", value)
    raise TypeError(f"nobody knows how to hold a value against {rule!r}")


def _number_within(rule: Range) -> Check:
    least, most = rule
    return lambda value: None if least <= value <= most else ("", value)


def _numbers_beyond(of_number: Check, value: Any) -> Misfit | None:
    """What of the numbers in a dataclass, such as an estimate with its interval, is out of a range."""
    if dataclasses.is_dataclass(value):
        inner = functools.partial(_numbers_beyond, of_number)
        return _first_named({field.name: inner for field in dataclasses.fields(value)}, lambda name: getattr(value, name))
    if isinstance(value, tuple):
        return _first_in(enumerate(value), functools.partial(_numbers_beyond, of_number))
    return None if value is None else of_number(value)


def _shown(value: Any) -> str:
    """A value in few characters, all of which can be printed."""
    if isinstance(value, int) and value.bit_length() > _MOST_SHOWN_BITS:
        return "a number of too many digits"
    text = ascii(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
