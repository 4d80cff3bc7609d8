"""Calls a function for each batch that a DataLoader's iterator is about to give to the script."""

from __future__ import annotations

import types
import weakref
from typing import Any, Callable, Iterator, List

from .patches import Patches


class BatchCounter:
    """Watches iterators; an iterator whose class is Python code stays the same object, others get a generator around them."""

    def __init__(self, on_batch: Callable[[Any], None]) -> None:
        """Watches nothing yet; `on_batch` is called with the loader."""
        self._on_batch = on_batch
        self._loaders: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()  # by iterator
        self._patched: List[type] = []
        self._patches = Patches()

    def wrap(self, loader: Any, iterator: Any) -> Any:
        """Returns the iterator to give to the script."""
        owner = next((cls for cls in type(iterator).__mro__ if "__next__" in vars(cls)), None)
        if owner is None:
            return iterator
        if not isinstance(vars(owner)["__next__"], types.FunctionType):
            return self._counted(loader, iterator)
        try:
            self._loaders[iterator] = loader
        except TypeError:  # it cannot be hashed, or takes no weak reference
            return self._counted(loader, iterator)
        if owner not in self._patched:
            self._patched.append(owner)
            self._patches.wrap(owner, "__next__", self._counting_next)
        return iterator

    def undo(self) -> None:
        """Puts the classes of the iterators back; generators stay, and count no more."""
        self._patches.undo()
        self._on_batch = lambda loader: None

    def _counting_next(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def counting_next(iterator: Any) -> Any:
            try:
                loader = self._loaders.get(iterator)
            except TypeError:
                loader = None
            batch = original(iterator)
            if loader is not None:
                self._on_batch(loader)
            return batch

        return counting_next

    def _counted(self, loader: Any, iterator: Any) -> Iterator[Any]:
        for batch in iterator:
            self._on_batch(loader)
            yield batch
