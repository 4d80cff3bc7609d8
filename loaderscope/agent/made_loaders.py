"""Remembers how every DataLoader was made and tells when one is about to be iterated.

`DataLoader.__new__` sees the arguments of the outermost class, also of subclasses with a signature of their own, and
leaves the object as it is; `__iter__` is wrapped on DataLoader and on every subclass that overrides it.
"""

from __future__ import annotations

import functools
import types
import weakref
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from .import_hook import when_imported

_WRAPPED = "_loaderscope_iter"


class Making(NamedTuple):
    """The call that made a loader."""

    cls: type
    args: Tuple[Any, ...]
    kwargs: Dict[str, Any]


_makings: Dict[int, Tuple["weakref.ref[Any]", Making]] = {}  # by id: a subclass may define __eq__ and be unhashable
_on_iter: Optional[Callable[[Any], None]] = None


def install() -> None:
    """Watches DataLoaders from the moment on when torch's module of them is imported."""
    when_imported("torch.utils.data.dataloader", _patch)


def making_of(loader: Any) -> Optional[Making]:
    """How a loader was made; None for a copy or one older than the hook."""
    entry = _makings.get(id(loader))
    return entry[1] if entry is not None and entry[0]() is loader else None


def on_iteration(callback: Optional[Callable[[Any], None]]) -> None:
    """From now on calls `callback(loader)` at the start of every iter(loader), in forked children, too; None ends that.

    Not in a worker of a loader: what is iterated there is its dataset's own business.
    """
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
        if _on_iter is not None and not _in_worker():
            _on_iter(self)
        return original(self)

    setattr(watched_iter, _WRAPPED, True)
    cls.__iter__ = watched_iter


def _in_worker() -> bool:
    from torch.utils.data import get_worker_info

    return get_worker_info() is not None


def iterates_its_own_way(loader: Any) -> bool:
    """Whether the loader's class has an `__iter__` of its own, which may give other batches than torch's."""
    from torch.utils.data import DataLoader

    return next(cls for cls in type(loader).__mro__ if "__iter__" in vars(cls)) is not DataLoader
