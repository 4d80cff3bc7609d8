"""Reads and writes the JSON and rows of a session file, and checks the type of every value that it reads."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from loaderscope.session.errors import SessionError
from loaderscope.session.value_checks import checker, misfit, misfit_text, tuple_checker

T = TypeVar("T")


def read_json(kind: type[T], text: object) -> T:
    """Returns a dataclass or dict from the JSON text of a table.

    Raises:
        SessionError: the text does not hold one.
    """
    from_json: Callable[[Any], T] = getattr(kind, "from_json", None) or (lambda data: kind(**data))
    try:
        if not isinstance(text, str):
            raise TypeError("no text")
        value = from_json(json.loads(text, parse_constant=_reject_constant))
        reason = misfit(value, kind)
        if reason is not None:
            raise TypeError(reason)
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise SessionError(f"The session file is damaged: what it says about a {kind.__name__} cannot be read ({error}).") from None
    return value


def json_value(value: Any) -> Any:
    """Returns the value as JSON knows it: lists for tuples, None for infinite and undefined numbers."""
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_text(value: Any) -> str:
    """Returns the value as JSON text."""
    return json.dumps(json_value(value), allow_nan=False)


def storable(text: str) -> str:
    """Returns the text without lone surrogates (from bytes that could not be decoded), which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def check(value: Any, hint: Any, what: str) -> None:
    """Refuses a value that does not fit its annotation.

    Args:
        value: read from a session file.
        hint: a type, with further rules in `Annotated`.
        what: the beginning of the sentence, such as "its log".

    Raises:
        SessionError: the value does not fit.
    """
    reason = misfit(value, hint)
    if reason is not None:
        raise SessionError(f"The session file is damaged: {what} cannot be read ({reason}).")


def checked_rows(rows: Iterable[tuple[Any, ...]], *hints: Any, table: str) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of a table and checks each value against its annotation: SQLite stores anything in any column.

    Raises:
        SessionError: a value does not fit.
    """
    find = tuple_checker([checker(hint) for hint in hints])
    for row in rows:
        found = find(row)
        if found is not None:
            raise SessionError(f"The session file is damaged: a row of its table '{table}' cannot be read ({misfit_text(found)}).")
        yield row


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
