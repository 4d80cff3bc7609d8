"""Names the part of an object that cannot be pickled, by its path, and says what to do about it.

The advice depends on the route: the dataset goes to a starting worker, a batch to the main process, the indices of a batch to a
worker. The last two go through a queue, which accepts less than a starting process: no locks and no pipes.
"""

from __future__ import annotations

import functools
import io
import itertools
import os
import pickle
import time
import types
import weakref
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

from . import packages

REFUSED = "cannot be sent to a worker"

_MAX_DEPTH = 20
_MAX_PARTS = 5000
_SEARCH_S = 5.0
DATABASES = (
    "sqlite3", "_sqlite3", "psycopg", "psycopg2", "pymysql", "MySQLdb", "mysql", "sqlalchemy", "duckdb", "_duckdb",
    "redis", "pymongo", "lmdb", "pyodbc", "oracledb", "clickhouse_driver",
)  # fmt: skip
"""Top-level modules of libraries for databases."""

_CONTAINERS = (list, tuple, dict, set, frozenset)
_TOP_LEVEL = "move it to the top level of the script"


class Route(NamedTuple):
    """A way on which objects are sent, and advice for each kind of object that cannot be sent on it."""

    name: str
    """Its name in `ErrorInfo.route`."""
    refused: str
    """Predicate of the sentence: "cannot be sent ..."."""
    starts_process: bool
    """Whether objects are sent with the start of a process; else they go through a queue."""
    file: str
    database: str
    lock: str
    generator: str
    memoryview: str
    module: str
    tensor: str
    other: str


_IN_WORKER = "make it in the worker, at the first __getitem__ or in worker_init_fn, or leave it out of __getstate__"
TO_STARTING_WORKER = Route(
    name="start",
    refused=REFUSED,
    starts_process=True,
    file="keep its path and open it in the worker, at the first __getitem__",
    database="connect in the worker, at the first __getitem__ or in worker_init_fn",
    lock=_IN_WORKER,
    generator="keep what it is made from and make it in the worker",
    memoryview="keep bytes or an array in its place",
    module="import it where it is used",
    tensor="detach() it",
    other=_IN_WORKER,
)
_DATA_ONLY = "return numbers, text, arrays or tensors in its place"
TO_MAIN = Route(
    name="batch",
    refused="cannot be sent from a worker to the main process",
    starts_process=False,
    file="read it in the dataset and return what is in it",
    database="return what was read through it",
    lock="leave it out of the batch",
    generator="return a list of what it gives",
    memoryview="return bytes or an array in its place",
    module="leave it out of the batch",
    tensor="return it without one, by detach() or from under torch.no_grad()",
    other=_DATA_ONLY,
)
_INDEX_ONLY = "let the sampler give numbers or text"
INDICES_TO_WORKER = Route(
    name="indices",
    refused="%s as an index of the sampler" % REFUSED,
    starts_process=False,
    file=_INDEX_ONLY,
    database=_INDEX_ONLY,
    lock=_INDEX_ONLY,
    generator=_INDEX_ONLY,
    memoryview=_INDEX_ONLY,
    module=_INDEX_ONLY,
    tensor="detach() it, or %s" % _INDEX_ONLY,
    other=_INDEX_ONLY,
)


class Part(NamedTuple):
    """A value and the words that lead to it, such as `dataset.transform.steps[1]`."""

    path: str
    value: Any


def explain(root: Part, error: BaseException, limit_s: float = _SEARCH_S, route: Route = TO_STARTING_WORKER) -> Optional[str]:
    """Says in one sentence which part of `root` cannot be pickled and what to do; None if `root` does not raise this error.

    Args:
        root: the object that was to be sent.
        error: the exception that pickling raised.
        limit_s: how long to search for the part.
        route: the way on which it was to be sent.
    """
    deadline_s = time.monotonic() + limit_s
    if not _fails_the_same_way(root.value, error, deadline_s, route):
        return None
    failing, parts_left = root, _MAX_PARTS
    for _ in range(0 if isinstance(error, RecursionError) else _MAX_DEPTH):
        parts = list(itertools.islice(parts_of(failing), parts_left))
        parts_left -= len(parts)
        deeper = next((part for part in parts if _fails_the_same_way(part.value, error, deadline_s, route)), None)
        if deeper is None:
            break
        failing = deeper
    if type(failing.value) in _CONTAINERS and not isinstance(error, RecursionError):  # the time or the limit of parts was used up
        return "something in %s %s: %s (%s)" % (failing.path, route.refused, route.other, _reason(error))
    what, remedy = _describe(failing.value, error, route)
    return "%s is %s, which %s: %s" % (failing.path, what, route.refused, remedy)


def _fails_the_same_way(value: Any, error: BaseException, deadline_s: float, route: Route) -> bool:
    from multiprocessing import context
    from multiprocessing.reduction import ForkingPickler

    popen = context.get_spawning_popen()
    context.set_spawning_popen(_StandInChild() if route.starts_process else None)  # type: ignore[arg-type]
    try:
        pickler = ForkingPickler(_DeadlineSink(deadline_s), pickle.HIGHEST_PROTOCOL)
        if not route.starts_process:
            pickler.dispatch_table.update(_unshared_storages())
        pickler.dump(value)
    except _TooLongError:
        return False
    except BaseException as again:  # a __reduce__ of the user's may raise anything
        return type(again) is type(error)
    finally:
        context.set_spawning_popen(popen)
    return False


def _unshared_storages() -> Dict[type, Any]:
    """Reducers that leave out the storages of tensors, which each try would else move into shared memory."""
    from multiprocessing.reduction import ForkingPickler

    reducers: Dict[type, Any] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    return {cls: _reduce_to_empty for cls, reducer in reducers.items() if "storage" in getattr(reducer, "__name__", "")}


def _reduce_to_empty(_value: Any) -> Tuple[Any, Tuple[()]]:
    return bytes, ()


class _TooLongError(BaseException):
    """The time is up. No `Exception`: a __reduce__ of the user's must not catch it."""


class _DeadlineSink:
    """A file that keeps nothing, and ends the pickling when the time is up."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline = deadline_s

    def write(self, data: Any) -> int:
        if time.monotonic() > self._deadline:
            raise _TooLongError
        return len(data)


class _StandInChild:
    """Stands in for a child that is being spawned: multiprocessing's locks and pipes pickle only then."""

    DupFd = staticmethod(int)

    def duplicate_for_child(self, handle: int) -> int:
        return handle


def _key_text(key: object) -> str:
    return '"%s"' % key if isinstance(key, str) and '"' not in key else repr(key)


def parts_of(whole: Part) -> Iterator[Part]:
    """Yields the parts of a container, and the attributes of an object whose class is not Python's own."""
    path, value = whole
    shown = path[4:] if path.startswith("the ") else path
    if isinstance(value, dict):
        for key, item in list(value.items())[:_MAX_PARTS]:
            yield Part("%s[%s]" % (shown, _key_text(key)), item)
            yield Part("a key of %s" % shown, key)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value[:_MAX_PARTS]):
            yield Part("%s[%d]" % (shown, index), item)
    elif isinstance(value, (set, frozenset)):
        for item in itertools.islice(value, _MAX_PARTS):
            yield Part("an item of %s" % shown, item)
    elif isinstance(value, functools.partial):
        yield Part("%s.func" % shown, value.func)
        yield from parts_of(Part("%s.args" % shown, value.args))
        for name, item in value.keywords.items():
            yield Part("%s.keywords[%s]" % (shown, _key_text(name)), item)
    elif isinstance(value, types.MethodType):
        yield Part("%s.__self__" % shown, value.__self__)
    elif not isinstance(value, (type, types.ModuleType, types.FunctionType)) and not is_standard(type(value)):
        for name, item in _attributes(value).items():
            yield Part("%s.%s" % (shown, name), item)


def _attributes(value: Any) -> Dict[str, Any]:
    attributes: Dict[str, Any] = {}
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if not name.startswith("__") and isinstance(vars(cls).get(name), types.MemberDescriptorType) and hasattr(value, name):
                attributes[name] = getattr(value, name)
    own = getattr(value, "__dict__", None)
    return {**attributes, **own} if isinstance(own, dict) else attributes


def is_standard(cls: type) -> bool:
    """Whether a class is Python's own: the inside of an Event or a Logger means nothing to the user."""
    top = (cls.__module__ or "").partition(".")[0]
    return top in packages.standard_modules() and not top.startswith("__")


def _describe(value: Any, error: BaseException, route: Route) -> Tuple[str, str]:
    """Words for a value, with its article, and the remedy."""
    cls = type(value)
    name = getattr(value, "__qualname__", "") if isinstance(value, (type, types.FunctionType)) else ""
    kind = "class" if isinstance(value, type) else "function"
    if name.endswith("<lambda>"):
        return "a lambda%s" % _line_of(value), "make it a function at the top level of the script"
    if "<locals>" in name:
        return "a %s that is defined inside %s()%s" % (kind, _outer_function(name), _line_of(value)), _TOP_LEVEL
    if name:
        why = "is not what stands in its module under that name (a decorator or a second definition replaced it)"
        return "the %s %s, but it %s" % (kind, name, why), "give it a name of its own at the top level of the script"
    if "<locals>" in cls.__qualname__:
        what = "an object of the class %s that is defined inside %s()" % (cls.__name__, _outer_function(cls.__qualname__))
        return what, "move that class to the top level of the script"
    return _describe_object(value, cls, error, route)


def _describe_object(value: Any, cls: type, error: BaseException, route: Route) -> Tuple[str, str]:
    module, full = (cls.__module__ or "").partition(".")[0], cls.__name__
    if module not in ("builtins", "__main__", "__mp_main__", "_io", "_thread"):
        full = "%s.%s" % (module.lstrip("_"), cls.__name__)
    if isinstance(value, io.IOBase):
        return "an open file (%s)" % cls.__name__, route.file
    if module == "h5py" or "h5py" in str(error):
        return "an open HDF5 file (%s)" % full, route.file
    if module in DATABASES:
        return "a database handle (%s)" % full, route.database
    if cls.__name__.lower() in ("lock", "rlock", "_local"):
        return "a thread's own storage" if cls.__name__ == "_local" else "a lock", route.lock
    if isinstance(value, (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)):
        return "a generator", route.generator
    if isinstance(value, memoryview):
        return "a memoryview", route.memoryview
    if isinstance(value, types.ModuleType):
        return "the module %s" % value.__name__, route.module
    if isinstance(value, weakref.ref):
        return "a weak reference", route.other
    if getattr(value, "requires_grad", False) is True and getattr(value, "is_leaf", True) is False:
        return "a tensor with a history of gradients", route.tensor
    article = "an" if full[:1].lower() in "aeiou" else "a"
    levels = " of too many levels" if isinstance(error, RecursionError) else ""
    return "%s %s%s" % (article, full, levels), "%s (%s)" % (route.other, _reason(error))


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _line_of(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return "" if code is None else " (%s, line %d)" % (os.path.basename(code.co_filename), code.co_firstlineno)


def _outer_function(qualified_name: str) -> str:
    return qualified_name.split(".<locals>", 1)[0].rpartition(".")[2]
