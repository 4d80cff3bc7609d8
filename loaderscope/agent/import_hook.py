"""Calls a function once a module has been imported, without importing it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # children of the script load this module first: see `watched_children`
    import types
    from importlib.machinery import ModuleSpec
    from typing import Any, Callable, Dict, Optional, Sequence

    Callback = Callable[[types.ModuleType], None]


class _Finder:
    """A finder in front of all others: it lets them find a module and adds a call after its execution."""

    def __init__(self) -> None:
        self.callbacks: "Dict[str, Callback]" = {}

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Any = None) -> Optional[ModuleSpec]:
        callback = self.callbacks.get(name)
        if callback is None:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._call_after(spec, name, callback)
                return spec
        return None

    def _call_after(self, spec: ModuleSpec, name: str, callback: Callback) -> None:
        loader = spec.loader
        if loader is None or not hasattr(loader, "exec_module"):
            return
        original = loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            original(module)
            self.callbacks.pop(name, None)
            callback(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]


_finder = _Finder()


def when_imported(name: str, callback: Callback) -> None:
    """Calls `callback(module)` now if the module `name` has been imported, else right after its import."""
    module = sys.modules.get(name)
    if module is not None:
        callback(module)
        return
    _finder.callbacks[name] = callback
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
