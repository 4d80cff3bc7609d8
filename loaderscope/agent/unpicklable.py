"""Names the part of an object that cannot be pickled, by its path, and says what to do about it."""

from __future__ import annotations

import functools
import io
import itertools
import os
import pickle
import sys
import time
import types
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

REFUSED = "cannot be sent to a worker"

_DEPTH = 20
_NODES = 300
_SEARCH_S = 5.0
_FILES = "keep its path and open it in the worker, at the first __getitem__"
_MOVE = "move it to the top level of the script"
_IN_WORKER = "make it in the worker, at the first __getitem__ or in worker_init_fn, or leave it out of __getstate__"
_DATABASES = (
    "sqlite3", "_sqlite3", "psycopg", "psycopg2", "pymysql", "MySQLdb", "mysql", "sqlalchemy", "duckdb", "_duckdb",
    "redis", "pymongo", "lmdb", "pyodbc", "oracledb", "clickhouse_driver",
)  # fmt: skip


class Part(NamedTuple):
    """A value and the words that lead to it, such as `dataset.transform.steps[1]`."""

    path: str
    value: Any


def explain(root: Part, error: BaseException, limit_s: float = _SEARCH_S) -> Optional[str]:
    """What in `root` cannot be pickled and what to do, in one sentence; None if it is not `root` that failed so.

    Args:
        root: what was to be sent to a worker.
        error: what pickling raised.
        limit_s: how long to look for the part.
    """
    deadline = time.monotonic() + limit_s
    if not _fails_alike(root.value, error, deadline):
        return None
    found, left = root, _NODES
    for _ in range(_DEPTH):
        parts = list(itertools.islice(_parts(found), left))
        left -= len(parts)
        deeper = next((part for part in parts if _fails_alike(part.value, error, deadline)), None)
        if deeper is None:
            break
        found = deeper
    what, remedy = _describe(found.value, error)
    return "%s is %s, which %s: %s" % (found.path, what, REFUSED, remedy)


def _fails_alike(value: Any, error: BaseException, deadline: float) -> bool:
    from multiprocessing import context
    from multiprocessing.reduction import ForkingPickler

    popen = context.get_spawning_popen()
    context.set_spawning_popen(_NoChild())  # type: ignore[arg-type]
    try:
        ForkingPickler(_Nowhere(deadline), pickle.HIGHEST_PROTOCOL).dump(value)
    except _TooLongError:
        return False
    except Exception as again:  # whatever a __reduce__ of the user's raises
        return type(again) is type(error)
    finally:
        context.set_spawning_popen(popen)
    return False


class _TooLongError(BaseException):
    """Not an Exception: a __reduce__ of the user's must not catch it."""


class _Nowhere:
    """A file that keeps nothing and ends the pickling when time is up."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def write(self, data: Any) -> int:
        if time.monotonic() > self._deadline:
            raise _TooLongError
        return len(data)


class _NoChild:
    """In the place of a child that is being spawned: locks and pipes of multiprocessing pickle only while one is."""

    DupFd = staticmethod(int)

    def duplicate_for_child(self, handle: int) -> int:
        return handle


def _parts(whole: Part) -> Iterator[Part]:
    path, value = whole
    shown = "dataset" if path == "the dataset" else path
    if isinstance(value, dict):
        for key, item in list(value.items())[:_NODES]:
            yield Part("%s[%r]" % (shown, key), item)
            yield Part("a key of %s" % shown, key)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value[:_NODES]):
            yield Part("%s[%d]" % (shown, index), item)
    elif isinstance(value, (set, frozenset)):
        for item in itertools.islice(value, _NODES):
            yield Part("an item of %s" % shown, item)
    elif isinstance(value, functools.partial):
        yield Part("%s.func" % shown, value.func)
        yield from _parts(Part("%s.args" % shown, value.args))
        for name, item in value.keywords.items():
            yield Part("%s.keywords[%r]" % (shown, name), item)
    elif isinstance(value, types.MethodType):
        yield Part("%s.__self__" % shown, value.__self__)
    elif not isinstance(value, (type, types.ModuleType, types.FunctionType)) and not _is_standard(type(value)):
        for name, item in _attributes(value).items():
            yield Part("%s.%s" % (shown, name), item)


def _attributes(value: Any) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if not name.startswith("__") and isinstance(vars(cls).get(name), types.MemberDescriptorType) and hasattr(value, name):
                found[name] = getattr(value, name)
    own = getattr(value, "__dict__", None)
    return {**found, **own} if isinstance(own, dict) else found


def _is_standard(cls: type) -> bool:
    """Whether a class is Python's own: what an Event or a Logger holds inside says nothing to the user."""
    top = (cls.__module__ or "").partition(".")[0]
    return top in getattr(sys, "stdlib_module_names", ("builtins", "threading", "queue", "logging")) and not top.startswith("__")


def _describe(value: Any, error: BaseException) -> Tuple[str, str]:
    """What a value is, with its article, and the remedy."""
    cls = type(value)
    name = getattr(value, "__qualname__", "") if isinstance(value, (type, types.FunctionType)) else ""
    kind = "class" if isinstance(value, type) else "function"
    if name.endswith("<lambda>"):
        return "a lambda%s" % _line_of(value), "make it a function at the top level of the script"
    if "<locals>" in name:
        return "a %s that is defined inside %s()%s" % (kind, _outer(name), _line_of(value)), _MOVE
    if name:
        why = "is not what stands in its module under that name (a decorator or a second definition replaced it)"
        return "the %s %s, but it %s" % (kind, name, why), "give it a name of its own at the top level of the script"
    if "<locals>" in cls.__qualname__:
        what = "an object of the class %s that is defined inside %s()" % (cls.__name__, _outer(cls.__qualname__))
        return what, "move that class to the top level of the script"
    return _describe_object(value, cls, error)


def _describe_object(value: Any, cls: type, error: BaseException) -> Tuple[str, str]:
    module, full = (cls.__module__ or "").partition(".")[0], cls.__name__
    if module not in ("builtins", "__main__", "__mp_main__", "_io", "_thread"):
        full = "%s.%s" % (module.lstrip("_"), cls.__name__)
    if isinstance(value, io.IOBase):
        return "an open file (%s)" % cls.__name__, _FILES
    if module == "h5py" or "h5py" in str(error):
        return "an open HDF5 file (%s)" % full, _FILES
    if module in _DATABASES:
        return "a database handle (%s)" % full, "connect in the worker, at the first __getitem__ or in worker_init_fn"
    if cls.__name__.lower() in ("lock", "rlock", "_local"):
        return "a thread's own storage" if cls.__name__ == "_local" else "a lock", _IN_WORKER
    if isinstance(value, (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)):
        return "a generator", "keep what it is made from and make it in the worker"
    if isinstance(value, memoryview):
        return "a memoryview", "keep bytes or an array in its place"
    if isinstance(value, types.ModuleType):
        return "the module %s" % value.__name__, "import it where it is used"
    if getattr(value, "requires_grad", False) is True and getattr(value, "is_leaf", True) is False:
        return "a tensor with a history of gradients", "detach() it"
    lines = str(error).strip().splitlines()
    article = "an" if full[:1].lower() in "aeiou" else "a"
    return "%s %s" % (article, full), "%s (%s)" % (_IN_WORKER, lines[0] if lines else type(error).__name__)


def _line_of(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return "" if code is None else " (%s, line %d)" % (os.path.basename(code.co_filename), code.co_firstlineno)


def _outer(qualified_name: str) -> str:
    return qualified_name.split(".<locals>", 1)[0].rpartition(".")[2]
