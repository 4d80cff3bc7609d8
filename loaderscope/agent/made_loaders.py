"""Remembers how every DataLoader was made and tells when one is about to be iterated.

`DataLoader.__new__` sees the arguments of the outermost class, also of subclasses with a signature of their own, and
leaves the object as it is; `__iter__` is wrapped on DataLoader and on every subclass that overrides it.
"""

from __future__ import annotations

import functools
import os
import types
import weakref
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .import_hook import when_imported

_WRAPPED = "_loaderscope_iter"


class Making(NamedTuple):
    """The call that made a loader."""

    cls: type
    args: Tuple[Any, ...]
    kwargs: Dict[str, Any]


_makings: Dict[int, Tuple["weakref.ref[Any]", Making]] = {}  # by id: a subclass may define __eq__ and be unhashable
_on_iter: Optional[Callable[[Any], None]] = None
_installed_pid: Optional[int] = None


def install() -> None:
    """Watches DataLoaders from the moment on when torch's module of them is imported."""
    global _installed_pid
    if _installed_pid is None:
        _installed_pid = os.getpid()
        when_imported("torch.utils.data.dataloader", _patch)


def making_of(loader: Any) -> Optional[Making]:
    """How a loader was made; None for a copy or one older than the hook."""
    entry = _makings.get(id(loader))
    return entry[1] if entry is not None and entry[0]() is loader else None


def on_iteration(callback: Optional[Callable[[Any], None]]) -> None:
    """From now on calls `callback(loader)` in this process at the start of every iter(loader); None ends that."""
    global _on_iter
    _on_iter = callback


def _patch(module: types.ModuleType) -> None:
    cls = module.DataLoader
    if "__new__" in vars(cls):
        return

    import inspect

    def new(klass: type, *args: Any, **kwargs: Any) -> Any:
        loader: Any = object.__new__(klass)
        if args or kwargs:
            _remember(loader, Making(klass, args, kwargs))
        _wrap_overrides(klass, cls)
        return loader

    # inspect.signature(DataLoader) asks __new__ first; it must go on telling the arguments of __init__.
    new.__signature__ = inspect.signature(cls.__init__)  # type: ignore[attr-defined]
    cls.__new__ = staticmethod(new)
    _wrap_iter(cls)


def _remember(loader: Any, making: Making) -> None:
    key = id(loader)
    _makings[key] = (weakref.ref(loader, lambda _: _makings.pop(key, None) and None), making)


def _wrap_overrides(klass: type, base: type) -> None:
    for ancestor in klass.__mro__:
        if ancestor is base:
            return
        if "__iter__" in vars(ancestor) and not hasattr(vars(ancestor)["__iter__"], _WRAPPED):
            _wrap_iter(ancestor)


def _wrap_iter(cls: Any) -> None:
    original = vars(cls)["__iter__"]

    @functools.wraps(original)
    def watched_iter(self: Any) -> Any:
        if _on_iter is not None and os.getpid() == _installed_pid:
            _on_iter(self)
        return original(self)

    setattr(watched_iter, _WRAPPED, True)
    cls.__iter__ = watched_iter


def iterates_its_own_way(loader: Any) -> bool:
    """Whether the loader's class has an `__iter__` of its own, which may give other batches than torch's."""
    from torch.utils.data import DataLoader

    return next(cls for cls in type(loader).__mro__ if "__iter__" in vars(cls)) is not DataLoader


class IterationCounter:
    """Counts the different loaders that a script iterates, each at its first iter()."""

    def __init__(self) -> None:
        self._seen: List[Any] = []  # kept alive, so that no id comes twice

    def number_of(self, loader: Any) -> int:
        """The loader's number, counted from 0; -1 for a loader that was iterated before."""
        if any(loader is seen for seen in self._seen):
            return -1
        self._seen.append(loader)
        return len(self._seen) - 1

    @property
    def count(self) -> int:
        return len(self._seen)
