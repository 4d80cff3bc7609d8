"""Plain data out of a session file: JSON whose every value is of the type it should be."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from loaderscope.session.errors import SessionError

T = TypeVar("T")


def read_json(kind: type[T], text: object) -> T:
    """A dataclass, or a dict, from a JSON text of a table.

    Raises:
        SessionError: the text is no such thing.
    """
    from_json: Callable[[Any], T] = getattr(kind, "from_json", None) or (lambda data: kind(**data))
    try:
        if not isinstance(text, str):
            raise TypeError("no text")
        value = from_json(json.loads(text, parse_constant=_refuse))
        if not conforms(value, kind):
            raise TypeError("a value of another type")
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise SessionError(f"The session file is damaged: what it says about a {kind.__name__} cannot be read ({error}).") from None
    return value


def plain(value: Any) -> Any:
    """The value as JSON knows it: lists for tuples, and null for numbers that are none."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_text(value: Any) -> str:
    """The value as JSON text."""
    return json.dumps(plain(value), allow_nan=False)


def storable(text: str) -> str:
    """The text without lone surrogates (from bytes that could not be decoded), which are no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def conforms(value: Any, hint: Any) -> bool:
    """Whether a value, and all that it holds, is what the annotation says; an int may stand for a float."""
    if hint is Any:
        return True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(conforms(value, option) for option in arguments)
    if origin is tuple:
        elements = arguments[:1] * len(value) if arguments[-1] is Ellipsis and isinstance(value, tuple) else arguments
        return isinstance(value, tuple) and len(value) == len(elements) and all(map(conforms, value, elements))
    if origin is list:
        return isinstance(value, list) and all(conforms(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(conforms(k, arguments[0]) and conforms(v, arguments[1]) for k, v in value.items())
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return isinstance(value, hint) and all(conforms(getattr(value, f.name), hints[f.name]) for f in dataclasses.fields(hint))
    return isinstance(value, hint)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
