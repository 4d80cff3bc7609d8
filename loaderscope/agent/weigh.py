"""Weighs the objects that main sends to a worker of spawn or forkserver: bytes and seconds of each attribute.

It pickles as multiprocessing does, with one pickler and one memo: parts that two attributes share count once, and only the
results of the dataset's own `__getstate__` or `__reduce__` count. It sends nothing, and leaves the user's objects as they are: it
does not move tensors into shared memory, only adds the time of that. It runs in a thread, because neither the size of the data nor
the user's code has a bound: when the time is over, the parts weighed so far are the answer.
"""

from __future__ import annotations

import copyreg
import pickle
import sys
import threading
import time
from multiprocessing import context
from multiprocessing.reduction import ForkingPickler
from typing import Any, Dict, Iterator, List, Mapping, Optional, Set, Tuple

from . import loaders, unpicklable
from .trials import Feed

LIMIT_S = 4.0
_JOIN_EXTRA_S = 1.0
"""How much longer to wait for code that cannot be interrupted."""
_TIME_SHARE = 0.6
"""Share of the remaining time that one attribute may take."""
_MAX_KEPT_BYTES = 256 << 20
"""Larger pickles are counted, but not unpickled; larger arrays are not even copied."""
_MAX_PARTS = 200
_MAX_NESTED_DATASETS = 8
_MAX_DEPTH = 4
_HANDLE_BYTES = 300
"""About the size of the handle by which a worker finds a tensor in shared memory."""
_COPY_TEST_BYTES = 16 << 20

Part = Dict[str, Any]


class UnreadState:
    """The attributes of a dataset, and of datasets within it, before a sample is read, which may open files or fill a cache."""

    def __init__(self, dataset: Any) -> None:
        self._attributes: Dict[int, Dict[str, Any]] = {}
        self._save_attributes(dataset, _MAX_DEPTH)

    def _save_attributes(self, dataset: Any, depth: int) -> None:
        attributes = dict(getattr(dataset, "__dict__", None) or {})
        self._attributes[id(dataset)] = attributes
        for value in attributes.values() if depth > 0 else ():
            for _, inner in _nested("", value):
                if _is_dataset(inner) and id(inner) not in self._attributes:
                    self._save_attributes(inner, depth - 1)

    def of(self, dataset: Any, state: Dict[str, Any]) -> Dict[str, Any]:
        """Returns the state with the values that the attributes had before a sample was read."""
        before = self._attributes.get(id(dataset))
        if before is None or _has_own(type(dataset), "__getstate__"):
            return state
        return {name: before[name] for name in state if name in before}


def weigh(feed: Feed, unread: UnreadState, limit_s: float = LIMIT_S) -> List[Part]:
    """Returns the parts that main sends to each worker, heaviest first, as `SentPart` of the app's results.

    Args:
        feed: the attached dataset or loader.
        unread: the dataset's state when it was attached.
        limit_s: time for all parts. A part that took too long says so in its `error`.
    """
    weighing = _Weighing(unread, time.perf_counter() + limit_s)
    thread = threading.Thread(target=weighing.run, args=(feed,), name="loaderscope-weigh", daemon=True)
    thread.start()
    thread.join(limit_s + _JOIN_EXTRA_S)
    parts = list(weighing.parts)
    if thread.is_alive():
        parts.append(_part(*weighing.at, 0, limit_s, None, "It was not weighed to its end: its own code took too long."))
    parts.sort(key=lambda part: (part["error"] is None, -part["bytes"]))
    return sorted(parts[:_MAX_PARTS], key=lambda part: -part["bytes"])


class _OutOfTimeError(Exception):
    pass


class _TooLargeError(Exception):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class _Weighing:
    def __init__(self, unread: UnreadState, deadline_s: float) -> None:
        self.parts: List[Part] = []
        self._unread = unread
        self._deadline_s = deadline_s
        self._expanded: Set[int] = set()
        self._types: Set[type] = set()
        self._scale: Optional[_Scale] = None
        self.at: Tuple[str, str, Any] = ("dataset", "dataset", None)

    def run(self, feed: Feed) -> None:
        """Weighs all objects; call it in a thread of its own."""
        process: Any = _NoProcess()
        context.set_spawning_popen(process)  # this thread's; without one, queues and locks refuse to pickle
        try:
            for owner, value in _owners(feed):
                if owner == "sampler":  # torch keeps it in the main process
                    self.parts.append(_part(owner, owner, value, 0, 0.0, 0.0))
                else:
                    self._weigh_object(owner, owner, value, process, _MAX_DEPTH)
        finally:
            context.set_spawning_popen(None)

    def _weigh_object(self, owner: str, path: str, value: Any, process: "_NoProcess", depth: int) -> None:
        """Weighs an object: by its attributes if pickle sends these one by one, else as a whole."""
        start_s = time.perf_counter()
        self.at = (owner, path, value)
        try:
            state = _state_of(value)
        except Exception as error:  # the user's __getstate__
            self.parts.append({**_part(owner, path, value, 0, 0.0, None, _refusal(path, error)), "refused": True})
            return
        if state is None:
            self._weigh_value(owner, path, value, process)
            return
        state_s = time.perf_counter() - start_s
        if state_s > 0.001:
            self.parts.append(_part(owner, path + ".__getstate__()", state, 0, state_s, 0.0))
        self._expanded.add(id(value))
        self._types.add(type(value))
        for name, attribute in self._unread.of(value, state).items():
            for inner_path, inner in _nested(path + "." + name, attribute):
                if depth > 0 and _is_dataset(inner) and id(inner) not in self._expanded:
                    self._weigh_object(owner, inner_path, inner, process, depth - 1)
                else:
                    self._weigh_value(owner, inner_path, inner, process)
        if _has_own(type(value), "__setstate__"):  # it runs in workers only: here it might open files that must stay closed
            self.parts.append(_part(owner, path + ".__setstate__()", state, 0, 0.0, None))

    def _weigh_value(self, owner: str, path: str, value: Any, process: "_NoProcess") -> None:
        now_s = time.perf_counter()
        self.at = (owner, path, value)
        if now_s >= self._deadline_s:
            self.parts.append(_part(owner, path, value, 0, 0.0, None, "It was not weighed: the time for that was over."))
            return
        if self._scale is None:
            self._scale = _Scale(self._expanded, self._types, process)
        scale, size, unpickle_s, error_text, refused = self._scale, 0, None, None, False
        scale.begin(now_s + _TIME_SHARE * (self._deadline_s - now_s))  # leaves time for later parts
        try:
            scale.pickle(value)
        except _OutOfTimeError:
            error_text = "It was weighed for %.1f s only, so it is larger than this." % (time.perf_counter() - now_s)
        except _TooLargeError as error:
            size, error_text = error.size, "It was not copied to be weighed, for its size."
        except Exception as error:  # from the user's __reduce__, or from pickle about the user's objects
            left_s = self._deadline_s - time.perf_counter()
            error_text, refused = unpicklable.explain(unpicklable.Part(path, value), error, left_s) or _refusal(path, error), True
        size, pickle_s, shared_bytes = size + scale.size, time.perf_counter() - now_s + scale.copy_s(), scale.shared_bytes
        if error_text is None:
            unpickle_s = scale.unpickle()
        if error_text is not None or unpickle_s is None:
            self._scale = None  # a new pickler's memo matches its output again
        part = _part(owner, path, value, size, pickle_s, unpickle_s, error_text)
        self.parts.append({**part, "shared_bytes": shared_bytes, "refused": refused})


def _part(  # noqa: PLR0917
    owner: str, path: str, value: Any, size: int, pickle_s: float, unpickle_s: Optional[float], error: Optional[str] = None
) -> Part:
    return {
        "owner": owner,
        "attribute": path,
        "type_name": _type_name(value),
        "bytes": size,
        "pickle_s": pickle_s,
        "unpickle_s": unpickle_s,
        "error": error,
    }


def _owners(feed: Feed) -> Iterator[Tuple[str, Any]]:
    loader = feed.source if loaders.is_loader(feed.source) else None
    yield "dataset", feed.dataset
    for name in ("collate_fn", "worker_init_fn"):
        value = feed.extras.get(name) if loader is None else getattr(loader, name, None)
        if value is not None:
            yield name, value
    sampler = None if loader is None else loader.sampler if loader.batch_size is not None else loader.batch_sampler
    if sampler is not None:
        yield "sampler", sampler


def _state_of(value: Any) -> Optional[Dict[str, Any]]:
    """The attributes that pickle sends one by one; None for an object with another way of pickling."""
    cls = type(value)
    if cls.__module__ == "builtins" or cls in copyreg.dispatch_table or cls in _reducers():
        return None
    if _has_own(cls, "__reduce__") or _has_own(cls, "__reduce_ex__"):
        return None
    if hasattr(cls, "__getnewargs__") or hasattr(cls, "__getnewargs_ex__") or not hasattr(value, "__dict__"):
        return None
    reduced = value.__reduce_ex__(pickle.DEFAULT_PROTOCOL)
    if not isinstance(reduced, tuple) or any(part is not None for part in reduced[3:5]):  # a list or dict of the user's
        return None
    state = reduced[2] if len(reduced) > 2 else None
    if isinstance(state, tuple) and len(state) == 2 and all(part is None or isinstance(part, dict) for part in state):
        state = {**(state[0] or {}), **(state[1] or {})}  # with __slots__
    state = {} if state is None else state
    return state if isinstance(state, dict) and all(isinstance(name, str) for name in state) else None


def _has_own(cls: type, name: str) -> bool:
    """Whether a class overrides this method of `object` (which has `__getstate__` since Python 3.11)."""
    return getattr(cls, name, None) is not getattr(object, name, None)


def _nested(path: str, value: Any) -> List[Tuple[str, Any]]:
    """The items of a short list of datasets, else the value itself."""
    if type(value) in (list, tuple) and 0 < len(value) <= _MAX_NESTED_DATASETS and all(_is_dataset(item) for item in value):
        return [("%s[%d]" % (path, number), item) for number, item in enumerate(value)]
    return [(path, value)]


def _is_dataset(value: Any) -> bool:
    from torch.utils.data import Dataset

    return isinstance(value, Dataset)


def _type_name(value: Any) -> str:
    name = type(value).__name__
    if type(value) in (list, tuple) and value:
        return "%s of %s" % (name, type(value[0]).__name__)
    return name


def _refusal(path: str, error: BaseException) -> str:
    text = (str(error).splitlines() or [""])[0][:300]
    return "%s %s: %s: %s" % (path, unpicklable.REFUSED, type(error).__name__, text)


class _NoProcess:
    """Stands in for a worker's process, for objects that pickle only while one is started."""

    def __init__(self) -> None:
        self.handles = 0

    def duplicate_for_child(self, handle: int) -> int:
        self.handles += 1
        return handle

    def DupFd(self, fd: int) -> int:  # noqa: N802 - multiprocessing's name
        return fd


class _Scale:
    """A pickler and an unpickler, connected by a pipe."""

    def __init__(self, expanded: Set[int], types: Set[type], process: _NoProcess) -> None:
        self._pipe = _Pipe()
        self._pickler = _Pickler(self._pipe, expanded, types)
        self._unpickler = pickle.Unpickler(self._pipe)
        self._process = process
        self._handles = 0

    def begin(self, deadline_s: float) -> None:
        """Prepares for the next value."""
        self._handles = self._process.handles
        self._pickler.shared_bytes = 0
        self._pickler.update_reducers()
        self._pipe.begin(deadline_s)

    @property
    def size(self) -> int:
        return self._pipe.size

    @property
    def shared_bytes(self) -> int:
        """Bytes of the value's tensors, which go into shared memory and are not sent."""
        return self._pickler.shared_bytes

    def pickle(self, value: Any) -> None:
        self._pickler.dump(value)

    def copy_s(self) -> float:
        """Seconds to move the value's tensors into shared memory, before the first worker starts."""
        return self.shared_bytes * _copy_s_per_byte() if self.shared_bytes else 0.0

    def unpickle(self) -> Optional[float]:
        """Seconds of unpickling; None where it was not tried (handles must not be taken over), took too long or failed."""
        if self._process.handles != self._handles or not self._pipe.is_whole:
            return None
        start_s = time.perf_counter()
        try:
            self._unpickler.load()
        except Exception:  # the user's code cannot use a stand-in; a worker that fails to unpickle says so itself
            return None
        return time.perf_counter() - start_s


class _Pickler(ForkingPickler):
    """Multiprocessing's pickler, except for tensors, huge arrays, and objects whose attributes are weighed one by one."""

    def __init__(self, pipe: "_Pipe", expanded: Set[int], types: Set[type]) -> None:
        super().__init__(pipe)
        self._expanded = expanded
        self._types = types
        self._plain_table: Mapping[type, Any] = self.dispatch_table
        self._shared: Set[int] = set()
        self.shared_bytes = 0

    def update_reducers(self) -> None:
        """Updates the reducers for classes that were expanded or imported since the last value."""
        own: Dict[type, Any] = dict.fromkeys(self._types, self._reduce_expanded)
        for cls, reducer in _reducers().items():
            if getattr(reducer, "__module__", "") == "torch.multiprocessing.reductions":
                own[cls] = self._reduce_tensor
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            own[numpy.ndarray] = own[numpy.memmap] = _reduce_array
        self.dispatch_table = {**self._plain_table, **own}

    def _reduce_expanded(self, value: Any) -> Any:
        return (_stand_in, ()) if id(value) in self._expanded else value.__reduce_ex__(pickle.DEFAULT_PROTOCOL)

    def _reduce_tensor(self, value: Any) -> Any:
        if getattr(value, "requires_grad", False) and not value.is_leaf:
            raise RuntimeError("a tensor that requires grad and is no leaf cannot be sent to another process: detach it")
        storage = value.untyped_storage() if hasattr(value, "untyped_storage") else value
        try:
            place, size, shared = storage.data_ptr(), int(storage.nbytes()), bool(storage.is_shared())
        except Exception:  # a storage without data of its own (meta, sparse)
            return _stand_in, (bytes(_HANDLE_BYTES),)
        if not shared and place not in self._shared:
            self._shared.add(place)
            self.shared_bytes += size
        return _stand_in, (bytes(_HANDLE_BYTES),)


def _reducers() -> Dict[type, Any]:
    """The functions with which multiprocessing and torch pickle objects of a class."""
    return ForkingPickler._extra_reducers  # type: ignore[attr-defined, no-any-return]


def _reduce_array(value: Any) -> Any:
    if value.nbytes > _MAX_KEPT_BYTES and not value.dtype.hasobject:
        raise _TooLargeError(int(value.nbytes))
    return value.__reduce_ex__(pickle.DEFAULT_PROTOCOL)


def _stand_in(*_ignored: Any) -> None:
    """Unpickles to nothing."""


def _copy_s_per_byte() -> float:
    source = bytearray(_COPY_TEST_BYTES)
    start_s = time.perf_counter()
    bytes(source)
    return (time.perf_counter() - start_s) / _COPY_TEST_BYTES


class _Pipe:
    """A file that the pickler writes and the unpickler reads; after the deadline its next call raises."""

    def __init__(self) -> None:
        self.size = 0
        self.is_whole = True
        self._deadline_s = 0.0
        self._kept = bytearray()
        self._position = 0

    def begin(self, deadline_s: float) -> None:
        self.size, self.is_whole, self._deadline_s = 0, True, deadline_s
        self._kept, self._position = bytearray(), 0

    def write(self, data: Any) -> int:
        self._check_deadline()
        length = len(data) if isinstance(data, (bytes, bytearray)) else memoryview(data).nbytes
        self.size += length
        self.is_whole = self.is_whole and self.size <= _MAX_KEPT_BYTES
        if self.is_whole:
            self._kept += data
        return length

    def read(self, count: int = -1) -> bytes:
        self._check_deadline()
        end = len(self._kept) if count < 0 else self._position + count
        data = bytes(memoryview(self._kept)[self._position : end])
        self._position += len(data)
        return data

    def readinto(self, target: Any) -> int:
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)

    def readline(self) -> bytes:
        end = self._kept.find(b"\n", self._position)
        return self.read(-1 if end < 0 else end + 1 - self._position)

    def _check_deadline(self) -> None:
        if time.perf_counter() > self._deadline_s:
            raise _OutOfTimeError
