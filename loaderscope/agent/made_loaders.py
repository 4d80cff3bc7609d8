"""Remembers the call that made each DataLoader, and calls a function when one is iterated or gives a batch.

A hook in `DataLoader.__new__` sees the arguments of the outermost class, also of subclasses with a signature of their own, and
leaves the object as it is. `__iter__` is wrapped on DataLoader and on every subclass that overrides it.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .error_sentences import Place
from .import_hook import when_imported
from .torch_internals import LOADER_MODULE, STATEFUL_MODULE
from .user_frames import callers, innermost_user_place

_WRAPPED = "_loaderscope_iter"


class ConstructorCall(NamedTuple):
    """The call that made a loader. `place`: where the user's code made it, perhaps by a call into a library."""

    cls: type
    args: Tuple[Any, ...]
    kwargs: Dict[str, Any]
    place: Optional[Place] = None


_iterated_while_made: Dict[int, int] = {}  # by id of a loader, also of some that are gone: how many were before it
_constructor_calls: Dict[int, Tuple["weakref.ref[Any]", ConstructorCall]] = {}  # by id: a subclass may define __eq__ and be unhashable
_iteration_callback: Optional[Callable[[Any], None]] = None
_iterator_wrapper: Optional[Callable[[Any, Any], Any]] = None
_constructor_callback: Optional[Callable[[Any, int], None]] = None
_iterated_while_made_count = 0


def install() -> None:
    """Watches DataLoaders as soon as torch's module of them has been imported."""
    when_imported("torch.utils.data.dataloader", _patch)


def constructor_call_of(loader: Any) -> Optional[ConstructorCall]:
    """The call that made a loader; None for a copy, or for a loader made before the hook."""
    entry = _constructor_calls.get(id(loader))
    return entry[1] if entry is not None and entry[0]() is loader else None


def keeps_iterator(loader: Any) -> bool:
    """Whether the loader's constructor made an iterator of it, so that its workers started there."""
    return constructor_call_of(loader) is not None and id(loader) in _iterated_while_made


def number_in_constructors(loader: Any) -> Optional[int]:
    """Returns how many loaders before this one were iterated by their own constructors; None if this one was not."""
    return _iterated_while_made[id(loader)] if keeps_iterator(loader) else None


def live_loaders() -> List[Any]:
    """The loaders that were made and still exist, in the order in which they were made."""
    loaders = [reference() for reference, _ in list(_constructor_calls.values())]
    return [loader for loader in loaders if loader is not None]


def set_iteration_callback(callback: Optional[Callable[[Any], None]]) -> None:
    """Calls `callback(loader)` at the start of every iter(loader) from now on, in forked children, too; None ends that.

    It is not called in a worker of a loader: loaders there belong to the dataset's own code. Nor is it called where a loader's
    own constructor iterates it.
    """
    global _iteration_callback
    _iteration_callback = callback


def set_constructor_callback(callback: Optional[Callable[[Any, int], None]]) -> None:
    """Calls `callback(loader, number)` where a loader's constructor is about to iterate it; see `number_in_constructors`."""
    global _constructor_callback
    _constructor_callback = callback


def set_iterator_wrapper(wrapper: Optional[Callable[[Any, Any], Any]]) -> None:
    """Gives the script `wrapper(loader, iterator)` in place of each iterator of a loader from now on; None ends that."""
    global _iterator_wrapper
    _iterator_wrapper = wrapper


def _patch(module: types.ModuleType) -> None:
    cls = module.DataLoader
    if "__new__" in vars(cls):
        return

    import inspect

    def new(klass: type, *args: Any, **kwargs: Any) -> Any:
        loader: Any = object.__new__(klass)
        if args or kwargs:
            _remember(loader, ConstructorCall(klass, args, kwargs, innermost_user_place(callers(sys._getframe(1)))))
        _wrap_overrides(klass, cls)
        return loader

    # inspect.signature(DataLoader) reads __new__ first, so __new__ must have the signature of __init__.
    new.__signature__ = inspect.signature(cls.__init__)  # type: ignore[attr-defined]
    cls.__new__ = staticmethod(new)
    _wrap_iter(cls)


def _remember(loader: Any, call: ConstructorCall) -> None:
    key = id(loader)
    _iterated_while_made.pop(key, None)
    # No Python function: Python ignores what a handler of the script raises if a signal arrives within a weak reference's callback.
    forget = functools.partial(_constructor_calls.pop, key)
    _constructor_calls[key] = (weakref.ref(loader, forget), call)


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
        if _is_being_made(self):
            _iterate_in_constructor(self)
        elif _iteration_callback is not None and not _in_worker():
            _iteration_callback(self)
        iterator = original(self)
        if _iterator_wrapper is None or _in_worker() or _iterating_class(self) is not cls:
            return iterator
        return _iterator_wrapper(self, iterator)

    setattr(watched_iter, _WRAPPED, True)
    cls.__iter__ = watched_iter


def _iterate_in_constructor(loader: Any) -> None:
    global _iterated_while_made_count
    if id(loader) in _iterated_while_made:
        return
    number = _iterated_while_made[id(loader)] = _iterated_while_made_count
    _iterated_while_made_count += 1
    if _constructor_callback is not None and not _in_worker():
        _constructor_callback(loader, number)


def _is_being_made(loader: Any) -> bool:
    """Whether the loader's `__init__` has not returned yet."""
    for frame in callers(sys._getframe(2)):
        code = frame.f_code
        if code.co_name == "__init__" and code.co_argcount and frame.f_locals.get(code.co_varnames[0]) is loader:
            return True
    return False


def _in_worker() -> bool:
    from torch.utils.data import get_worker_info

    return get_worker_info() is not None


def iterates_its_own_way(loader: Any) -> bool:
    """Whether the loader's class has an `__iter__` of its own, which may give other batches than torch's, or read ahead.

    Torchdata's StatefulDataLoader is as torch's own, with other iterators of the same kind.
    """
    return _iterating_class(loader).__module__ not in (LOADER_MODULE, STATEFUL_MODULE)


def _iterating_class(loader: Any) -> type:
    """The class whose `__iter__` the script calls; that of a subclass may call torch's in turn."""
    return next(cls for cls in type(loader).__mro__ if "__iter__" in vars(cls))
