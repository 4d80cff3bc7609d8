"""Checks values read from a file against type annotations, and says which part of a value does not fit.

An int is accepted for a float. Every int must fit 64 bits, and no float may exceed `LARGEST_FLOAT`; `Annotated` states further
rules, see `agent/ranges.py`. `Any` accepts any JSON.
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
"""No measured value is larger; sums and squares of larger values would overflow."""

_MOST_NESTED = 100
"""Levels of nested JSON; Python's recursion allows some hundreds."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON can hold and UTF-8 cannot."""

_MOST_SHOWN, _MOST_SHOWN_BITS = 60, 200

Misfit = tuple[str, Any]
"""Path to the part that does not fit, as Python would write it after the name of the whole value, and the part itself."""

Check = Callable[[Any], "Misfit | None"]


def misfit(value: Any, hint: Any) -> str | None:
    """Returns why a value does not fit its annotation, or None if it fits.

    Returns:
        a clause such as "epochs[0].batches is -1".
    """
    found = checker(hint)(value)
    return None if found is None else misfit_text(found)


def misfit_text(found: Misfit) -> str:
    """Returns a misfit as a clause: "epochs[0].batches is -1"."""
    place, value = found
    return f"{place.lstrip('.')[:_MOST_SHOWN] or 'it'} is {_shown(value)}"


@functools.cache
def checker(hint: Any) -> Check:
    """Returns a check that finds the first part of a value that does not fit an annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return functools.partial(_misfit_of_json, levels=_MOST_NESTED)
    if origin is Annotated:
        return _all_of([checker(arguments[0]), *(_rule_checker(rule, arguments[0]) for rule in arguments[1:])])
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
    """Finds the first part of any JSON that is nested too deep to walk, or that UTF-8 cannot encode."""
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
    """If a value fits none of the options, the check returns the misfit of the last one; there is seldom another."""

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
        return of_key_error(value) or _first_misfit_of_items(value.items(), of_item)

    def of_key_error(value: dict[Any, Any]) -> Misfit | None:
        return next((found for key in value if (found := of_key(key)) is not None), None)

    return check_one


def _sequence_of(kind: type[Any], of_item: Check) -> Check:
    return lambda value: _first_misfit_of_items(enumerate(value), of_item) if isinstance(value, kind) else ("", value)


def _first_misfit_of_items(items: Iterable[tuple[Any, Any]], of_item: Check) -> Misfit | None:
    for key, item in items:
        found = of_item(item)
        if found is not None:
            return f"[{_shown(key)}]{found[0]}", found[1]
    return None


def tuple_checker(checks: list[Check]) -> Check:
    """Returns a check of tuples that applies one check to each element."""

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
    return _first_misfit_of_named(_checkers_by_name(kind), lambda name: getattr(value, name))


def _misfit_of_keys(kind: Any, value: Any) -> Misfit | None:
    if not isinstance(value, dict) or not kind.__required_keys__ <= value.keys():
        return "", value
    return _first_misfit_of_named({name: of_item for name, of_item in _checkers_by_name(kind).items() if name in value}, value.__getitem__)


@functools.cache
def _checkers_by_name(kind: Any) -> dict[str, Check]:
    """Returns a check by name of a dataclass's field or a typed dict's key. Made at first use, because a kind may contain itself."""
    return {name: checker(one) for name, one in typing.get_type_hints(kind, include_extras=True).items()}


def _first_misfit_of_named(checks: dict[str, Check], value_of: Callable[[str], Any]) -> Misfit | None:
    for name, of_item in checks.items():
        found = of_item(value_of(name))
        if found is not None:
            return f".{name}{found[0]}", found[1]
    return None


def _rule_checker(rule: Any, kind: Any) -> Check:
    """Returns a check of one rule of an annotation."""
    if isinstance(rule, Range):
        return _number_within(rule) if kind in (int, float) else functools.partial(_misfit_of_numbers, _number_within(rule))
    if isinstance(rule, Ascending):
        return lambda value: ("", value) if any(later < sooner for sooner, later in itertools.pairwise(value)) else None
    if isinstance(rule, OneOf):
        return lambda value: None if value in rule.words else ("", value)
    if isinstance(rule, Short):
        return lambda value: None if len(value) <= rule.characters and "\0" not in value else ("", value)
    raise TypeError(f"there is no check for the rule {rule!r}")


def _number_within(rule: Range) -> Check:
    least, most = rule
    return lambda value: None if least <= value <= most else ("", value)


def _misfit_of_numbers(of_number: Check, value: Any) -> Misfit | None:
    """Finds the first number out of range in a dataclass, such as an estimate with its interval."""
    if dataclasses.is_dataclass(value):
        inner = functools.partial(_misfit_of_numbers, of_number)
        return _first_misfit_of_named({field.name: inner for field in dataclasses.fields(value)}, lambda name: getattr(value, name))
    if isinstance(value, tuple):
        return _first_misfit_of_items(enumerate(value), functools.partial(_misfit_of_numbers, of_number))
    return None if value is None else of_number(value)


def _shown(value: Any) -> str:
    """Returns a value in few printable characters."""
    if isinstance(value, int) and value.bit_length() > _MOST_SHOWN_BITS:
        return "a number of too many digits"
    text = ascii(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
