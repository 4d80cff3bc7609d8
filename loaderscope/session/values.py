"""Plain data out of a session file: JSON whose every value is of the type it should be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from loaderscope.session.errors import SessionError
from loaderscope.session.value_checks import checker, misfit, told, tuple_checker

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
        reason = misfit(value, kind)
        if reason is not None:
            raise TypeError(reason)
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


def check(value: Any, hint: Any, what: str) -> None:
    """Refuses a value that is not what the annotation says.

    Args:
        value: read from a session file.
        hint: a type, with `Annotated` where there is more to be said.
        what: the beginning of the sentence, such as "its log".

    Raises:
        SessionError: it is not.
    """
    reason = misfit(value, hint)
    if reason is not None:
        raise SessionError(f"The session file is damaged: {what} cannot be read ({reason}).")


def checked_rows(rows: Iterable[tuple[Any, ...]], *hints: Any, table: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, once each of their values is what its annotation says: SQLite stores anything in any column.

    Raises:
        SessionError: one is not.
    """
    find = tuple_checker([checker(hint) for hint in hints])
    for row in rows:
        found = find(row)
        if found is not None:
            raise SessionError(f"The session file is damaged: a row of its table '{table}' cannot be read ({told(found)}).")
        yield row


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
