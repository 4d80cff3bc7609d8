"""Finds what the dataset holds open before its workers start: forked workers share it with main and with each other.

A shared file has one offset for all, a shared connection one stream, and a lock that is held during the fork stays locked for ever in the
worker. The search runs no code of the user's: it reads attributes from `__dict__` and slots, the globals that the methods of the user's
classes name, and the source of these classes.
"""

from __future__ import annotations

import ast
import io
import itertools
import linecache
import os
import sys
import time
import types
from collections import deque
from typing import Any, Deque, Iterator, List, NamedTuple, Optional, Set, Tuple

from .error_sentences import is_user_file
from .loader_use import syntax_tree
from .messages import SharedHandle
from .unpicklable import DATABASES, Part, is_standard, parts_of

FILE, CONNECTION, LOCK = "file", "connection", "lock"

_SEARCH_S = 0.1
_MAX_PARTS = 2000
_MAX_DEPTH = 6
_MAX_ITEMS = 64
"""Items of a container that are looked at: a dataset that holds handles in a list rarely holds them behind so many others."""
_MAX_HANDLES = 8
_FILE_LIBRARIES = {
    "h5py": ("File", "Group", "Dataset"),
    "netCDF4": ("Dataset", "Group"),
    "tables": ("File",),
    "rasterio": ("DatasetReader",),
    "cv2": ("VideoCapture",),
    "decord": ("VideoReader",),
}
"""Classes of libraries, whose objects hold a file open and keep a position or a state of their own."""
_CONNECTIONS = ("connection", "environment", "cursor", "transaction", "mongoclient")
"""Ends of the names of a database library's classes whose objects must not be used after a fork (lmdb's is `Environment`)."""
_ARCHIVES = {("zipfile", "ZipFile"): "fp", ("tarfile", "TarFile"): "fileobj"}
"""The attribute of Python's own archives that holds the file."""


class _Held(NamedTuple):
    """A value, and the object of the user's in whose attribute, or the module in whose global, it is."""

    part: Part
    owner: Any
    name: str
    depth: int


def find(dataset: Any, collate_fn: Any = None) -> List[SharedHandle]:
    """Returns what forked workers would share; incomplete where the dataset is large."""
    deadline_s = time.monotonic() + _SEARCH_S
    found: List[SharedHandle] = []
    seen: Set[int] = set()
    waiting: Deque[_Held] = deque([_Held(Part("dataset", dataset), None, "", 0), _Held(Part("collate_fn", collate_fn), None, "", 0)])
    while waiting and len(seen) < _MAX_PARTS and len(found) < _MAX_HANDLES and time.monotonic() < deadline_s:
        held = waiting.popleft()
        value = held.part.value
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind = _kind_of(value)
        if kind is not None:
            found.append(_described(held, kind))
        elif held.depth < _MAX_DEPTH:
            waiting.extend(_inside(held))
    return found


def _inside(held: _Held) -> Iterator[_Held]:
    path, value = held.part
    depth = held.depth + 1
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        for part in itertools.islice(parts_of(held.part), _MAX_ITEMS):
            yield _Held(part, held.owner, held.name, depth)
        return
    for part in parts_of(held.part):
        yield _Held(part, value, part.path[len(path) + 1 :], depth)
    for module, name in _globals_of(value):
        yield _Held(Part(name, vars(module)[name]), module, name, depth)


def _globals_of(value: Any) -> Iterator[Tuple[Any, str]]:
    """Yields the globals, with their modules, that a function of the user's, or the methods of the user's class, name."""
    functions = [value, *(item for cls in type(value).__mro__ for item in vars(cls).values())]
    for function in functions:
        if not isinstance(function, types.FunctionType) or not is_user_file(function.__code__.co_filename):
            continue
        module = sys.modules.get(function.__module__ or "")
        for name in function.__code__.co_names if module is not None else ():
            if name in vars(module):
                yield module, name


def _kind_of(value: Any) -> Optional[str]:
    """The kind of an open handle; None for all other values."""
    cls = type(value)
    top, name = (cls.__module__ or "").partition(".")[0], cls.__name__
    if name in ("lock", "RLock") and top == "_thread":
        return LOCK
    if top in DATABASES:
        return CONNECTION if name.lower().endswith(_CONNECTIONS) else None
    try:
        if name in _FILE_LIBRARIES.get(top, ()):
            return FILE if top != "h5py" or value else None  # a closed object of h5py is false
        if not is_standard(cls):
            return None
        if (top, name) in _ARCHIVES:
            return FILE if _holds_descriptor(getattr(value, _ARCHIVES[top, name])) else None
        if isinstance(value, io.IOBase):
            return FILE if _holds_descriptor(value) and value.readable() else None
        if top in ("socket", "ssl", "multiprocessing") and name in ("socket", "SSLSocket", "Connection", "PipeConnection"):
            return CONNECTION if _holds_descriptor(value) else None
        if top == "http" and name in ("HTTPConnection", "HTTPSConnection"):
            return CONNECTION if value.sock is not None else None
    except Exception:  # a handle in a state of its own, such as a file that is being closed
        return None
    return None


def _holds_descriptor(value: Any) -> bool:
    try:
        return bool(value.fileno() >= 0)
    except (AttributeError, OSError, ValueError):  # closed, or in memory only
        return False


def _described(held: _Held, kind: str) -> SharedHandle:
    value, owner = held.part.value, held.owner
    module = (type(value).__module__ or "").partition(".")[0].lstrip("_")
    type_name = type(value).__name__ if module in ("io", "thread", "builtins") else "%s.%s" % (module, type(value).__name__)
    is_global = owner is sys.modules.get(getattr(owner, "__name__", ""))
    file, line, code = _made_at(owner, held.name, is_global)
    owner_name = "" if is_global or owner is None else type(owner).__name__
    return SharedHandle(held.part.path, type_name, kind, held.name, owner_name, file, line, code)


def _made_at(owner: Any, name: str, is_global: bool) -> Tuple[Optional[str], Optional[int], str]:
    """File, line and code of the statement that assigns the attribute or the global; None where the source does not show it."""
    modules = [(owner, None)] if is_global else [(sys.modules.get(cls.__module__), cls.__name__) for cls in type(owner).__mro__]
    for module, class_name in modules:
        file = getattr(module, "__file__", None)
        if not file or not is_user_file(file):
            continue
        tree: Optional[ast.AST] = syntax_tree(file)
        if tree is None:
            continue
        lines = linecache.getlines(file)
        if class_name is not None:
            tree = next((node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == class_name), ast.Module([], []))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and _assigns(node, name, is_global) and not _is_none(node.value):
                return os.path.abspath(file), node.lineno, " ".join(line.strip() for line in lines[node.lineno - 1 : node.end_lineno])
    return None, None, ""


def _assigns(node: Any, name: str, is_global: bool) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if is_global:
        return any(isinstance(target, ast.Name) and target.id == name for target in targets)
    return any(isinstance(target, ast.Attribute) and target.attr == name for target in targets)


def _is_none(value: Optional[ast.expr]) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)
