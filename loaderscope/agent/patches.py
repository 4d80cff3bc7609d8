"""Replaces functions of other modules and classes, and puts them back."""

from __future__ import annotations

import functools
from typing import Any, Callable, List, Tuple


class Patches:
    """Replacements that can be undone, newest first."""

    def __init__(self) -> None:
        self._undo: List[Tuple[Any, str, Any]] = []

    def wrap(self, owner: Any, name: str, make_wrapper: Callable[[Any], Any]) -> None:
        """Replaces a function of a module or class by `make_wrapper(original)`; static methods stay static."""
        own_attribute = owner.__dict__.get(name)  # not getattr: on undo an inherited function must be deleted, not copied
        original = getattr(owner, name)
        wrapper = functools.wraps(original)(make_wrapper(original))
        setattr(owner, name, staticmethod(wrapper) if isinstance(own_attribute, staticmethod) else wrapper)
        self._undo.append((owner, name, own_attribute))

    def __len__(self) -> int:
        return len(self._undo)

    def undo(self) -> None:
        """Puts everything back."""
        while self._undo:
            owner, name, own_attribute = self._undo.pop()
            if own_attribute is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own_attribute)


def hide_frame(error: BaseException) -> None:
    """Takes the caller's frame out of a traceback that passes through it, so that the user reads the text of the plain loader.

    Call it in an `except` clause that ends with a bare `raise`. Python 3.9 and 3.10 restore the frame when they raise.
    """
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
