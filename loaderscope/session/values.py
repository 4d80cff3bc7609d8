"""Reads and writes the JSON and rows of a session file, and checks every value that it reads."""

from __future__ import annotations

import itertools
import json
import types
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

from loaderscope.session.errors import SessionError
from loaderscope.session.value_checks import misfit

_MOST_SHOWN = 150
_ROWS_AT_ONCE = 100
"""Msgspec prepares for a type anew at each call; many rows at once would be much memory, as some hold chunks."""


def read_json(hint: Any, text: Any, what: str) -> Any:
    """Returns the JSON text of a table as the type of an annotation; unknown keys are ignored.

    Args:
        hint: a type, with limits in `Annotated`.
        text: read from a session file.
        what: the beginning of the sentence for the user, such as "its environment".

    Raises:
        SessionError: the text does not hold such a value.
    """
    try:
        value = json.loads(text)  # msgspec's decoder would not say in which value half a character is
    except (TypeError, ValueError, RecursionError) as error:
        raise _damage(what, str(error)) from None
    return checked(value, hint, what)


def checked(value: Any, hint: Any, what: str) -> Any:
    """Returns plain values as the type of an annotation; arguments and errors are those of `read_json`."""
    try:
        typed = msgspec.convert(value, hint, builtin_types=(bytes,))
        reason = misfit(typed, hint)
    except (msgspec.ValidationError, RecursionError) as error:
        reason = str(error)
    if reason is not None:
        raise _damage(what, reason)
    return typed


def checked_rows(rows: Iterable[tuple[Any, ...]], *hints: Any, table: str) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of a table and checks each value against its annotation: SQLite stores anything in any column.

    Raises:
        SessionError: a value does not fit.
    """
    row_hint = types.GenericAlias(tuple, hints)
    remaining = iter(rows)
    while some := list(itertools.islice(remaining, _ROWS_AT_ONCE)):
        yield from checked(some, list[row_hint], f"a row of its table '{table}'")  # type: ignore[valid-type]


def json_value(value: Any) -> Any:
    """Returns the value as JSON knows it: objects for dataclasses, lists for tuples, None for infinite and undefined numbers."""
    return msgspec.json.decode(to_text(value))


def to_text(value: Any) -> str:
    """Returns the value as JSON text that UTF-8 can encode."""
    try:
        return msgspec.json.encode(value, enc_hook=_python_number).decode("utf-8")
    except UnicodeEncodeError:  # a text in it has lone surrogates, which only `json` can write
        text = json.dumps(msgspec.to_builtins(value, str_keys=True, enc_hook=_python_number), ensure_ascii=False)
        return to_text(json.loads(storable(text)))


def _python_number(value: Any) -> Any:
    """Returns a number of NumPy, which analysis may leave in a result, as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"no JSON for a {type(value).__name__}")


def storable(text: str) -> str:
    """Returns the text without lone surrogates (from bytes that could not be decoded), which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _damage(what: str, reason: str) -> SessionError:
    if len(reason) > _MOST_SHOWN:  # the path to a part that is nested deep
        reason = f"{reason[:_MOST_SHOWN]}…"
    return SessionError(f"The session file is damaged: {what} cannot be read ({reason}).")
