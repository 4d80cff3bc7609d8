"""Serves batches from memory, again and again: the rate of their consumer is the ceiling of any loader."""

from __future__ import annotations

import copy
import sys
import time
import zlib
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from .samples import is_array

MOST_BATCHES = 64
"""So many are fetched at most."""

EXAMINED_BATCHES = 4
"""So many are served as copies at first, which show whether the consumer changes its batches. A consumer may read some ahead."""

_CHECKED_BYTES = 1 << 16
"""The part of a tensor's memory that shows a change which torch does not count, as through a NumPy view."""


class _State(NamedTuple):
    """What a consumer may change in place: see `_state_of`."""

    version: Optional[int]
    requires_grad: bool
    shape: Tuple[int, ...]
    checksum: Optional[int]


class PerfectBatches:
    """Batches in memory.

    A batch comes in new containers with the same tensors, so that a consumer may take parts out of it. Where the consumer changes
    tensors in place, they are copied for each serving.
    """

    def __init__(self, memory_bytes: int) -> None:
        """Holds nothing yet; `memory_bytes`: the batches and a copy of each take no more, but for the first."""
        self._memory_bytes = memory_bytes
        self._full_note = ""  # why no more batches were fetched, if the loader had more and there is room for more
        self._batches: List[Any] = []
        self._leaves: List[List[Tuple[Any, _State]]] = []  # the tensors and arrays of each batch, as they were fetched
        self._pristine: List[Dict[int, Any]] = []  # copies of them by id, which no consumer sees
        self._examined: List[Tuple[Any, _State]] = []  # those of copies, as they were served
        self._served_count = 0
        self._copies = False
        self._copied_count = 0
        self._copy_ns = 0

    def __len__(self) -> int:
        return len(self._batches)

    def fetch(self, next_batch: Callable[[], Any], longest_s: float, clock: Callable[[], float] = time.perf_counter) -> bool:
        """Takes batches until there are enough; returns whether the loader ended before that.

        Args:
            next_batch: returns the next batch of the loader, or raises StopIteration.
            longest_s: after so many seconds, the batches that there are have to do.
            clock: returns seconds.
        """
        ended, total_bytes, began_s = False, 0, clock()
        while len(self._batches) < MOST_BATCHES:
            if self._batches and clock() - began_s >= longest_s:
                self._full_note = "more would take over %.3g s" % longest_s
                break
            try:
                batch = next_batch()
            except StopIteration:
                ended = True
                break
            leaves = leaves_of(batch)
            total_bytes += 2 * sum(_bytes_of(leaf) for leaf in leaves)  # with the pristine copies
            if self._batches and total_bytes > self._memory_bytes:
                self._full_note = "more would take over %.3g MB" % (self._memory_bytes / 1e6)
                break
            self._batches.append(batch)
            self._leaves.append([(leaf, _state_of(leaf)) for leaf in leaves])
            self._pristine.append({id(leaf): _copy_of(leaf) for leaf in leaves})
        if ended and len(self._batches) > 1 and _length(self._leaves[-1]) < _length(self._leaves[0]):
            del self._batches[-1], self._leaves[-1], self._pristine[-1]  # a short last batch has another rate
        return ended

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.next()

    def next(self) -> Any:
        """Returns the next batch, round and round."""
        index = self._served_count % len(self._batches)
        self._served_count += 1
        if self._served_count <= EXAMINED_BATCHES:
            return self._copy(index, examines=True)
        if not self._copies and (self._has_changed_copies() or self._has_changed(index)):
            self._copies = True
        return self._copy(index, examines=False) if self._copies else _rebuilt(self._batches[index], {})

    def notes(self, batch_s: Optional[float]) -> List[str]:
        """Sentences on what the rate includes, and on how many batches there were.

        Args:
            batch_s: seconds from batch to batch; None if unknown.
        """
        notes = []
        if self._full_note:
            count = "one batch was" if len(self) == 1 else "%d batches were" % len(self)
            notes.append("For the perfect loader %s fetched: %s." % (count, self._full_note))
        if self._copies and self._copied_count:
            of_batch = "" if batch_s is None else " of %.3g ms a batch" % (batch_s * 1e3)
            notes.append(
                "The consumer changes its batches in place, so the perfect loader copies each: %.2g ms%s, which the ceiling leaves out."
                % (self._copy_ns / 1e6 / self._copied_count, of_batch)
            )
        return notes

    def _copy(self, index: int, examines: bool) -> Any:
        start_ns = time.perf_counter_ns()
        copies: Dict[int, Any] = {key: _copy_of(pristine) for key, pristine in self._pristine[index].items()}
        batch = _rebuilt(self._batches[index], copies)
        self._copy_ns += time.perf_counter_ns() - start_ns
        self._copied_count += 1
        if examines:
            self._examined += [(leaf, _state_of(leaf)) for leaf in copies.values()]
        return batch

    def _has_changed_copies(self) -> bool:
        examined, self._examined = self._examined, []
        return any(_state_of(leaf) != state for leaf, state in examined)

    def _has_changed(self, index: int) -> bool:
        """Whether the consumer has changed a batch that it shares, by what costs nothing to ask."""
        return any(
            _version_of(leaf) != state.version or _needs_gradient(leaf) != state.requires_grad or tuple(leaf.shape) != state.shape
            for leaf, state in self._leaves[index]
        )


def leaves_of(batch: Any) -> List[Any]:
    """Returns the tensors and NumPy arrays of a batch, each once, also those in attributes of objects."""
    leaves: List[Any] = []
    unvisited, seen = [batch], set()
    while unvisited:
        part = unvisited.pop()
        if isinstance(part, (str, bytes, int, float)) or part is None or id(part) in seen:
            continue
        seen.add(id(part))
        if is_array(part):
            leaves.append(part)
        elif isinstance(part, Mapping):
            unvisited.extend(part.values())
        elif isinstance(part, (list, tuple, set)):
            unvisited.extend(part)
        elif hasattr(part, "__dict__"):
            unvisited.extend(vars(part).values())
    return leaves


def _rebuilt(part: Any, copies: Dict[int, Any]) -> Any:
    """Returns a batch in new containers; its tensors and arrays are those in `copies`, by id, or else the same."""
    if id(part) in copies:
        return copies[id(part)]
    if is_array(part) or part is None or isinstance(part, (str, bytes, int, float)):
        return part
    if type(part) is dict:
        return {key: _rebuilt(value, copies) for key, value in part.items()}
    if isinstance(part, tuple):
        parts = [_rebuilt(value, copies) for value in part]
        if hasattr(part, "_fields"):
            return tuple.__new__(type(part), parts)  # a named tuple's own `__new__` may take other arguments
        return tuple(parts) if type(part) is tuple else part
    if type(part) is list:
        return [_rebuilt(value, copies) for value in part]
    return _rebuilt_object(part, copies)


def _rebuilt_object(part: Any, copies: Dict[int, Any]) -> Any:
    """Returns a copy of an object of a class, a mapping among them, with new containers inside; the object if it cannot be copied."""
    try:
        new = copy.copy(part)
    except Exception:  # whatever the class raises
        return part
    state = getattr(new, "__dict__", None)
    if state and new is not part:
        state.update({name: _rebuilt(value, copies) for name, value in state.items()})
    elif isinstance(new, dict):
        new.update({key: _rebuilt(value, copies) for key, value in new.items()})
    elif isinstance(new, list):
        new[:] = [_rebuilt(value, copies) for value in new]
    return new


def _copy_of(leaf: Any) -> Any:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(leaf, torch.Tensor):
        return leaf.copy()
    if leaf.layout is not torch.strided:
        return leaf.detach().clone()
    pins = leaf.device.type == "cpu" and leaf.is_pinned()
    new = torch.empty_like(leaf, pin_memory=True) if pins else torch.empty_like(leaf)
    with torch.no_grad():
        new.copy_(leaf)
    return new.requires_grad_(leaf.requires_grad)


def _state_of(leaf: Any) -> _State:
    return _State(_version_of(leaf), _needs_gradient(leaf), tuple(leaf.shape), _checksum(leaf))


def _version_of(leaf: Any) -> Optional[int]:
    """How often torch changed a tensor in place; None where nobody counts: arrays, and tensors of inference."""
    try:
        return int(leaf._version)
    except (AttributeError, RuntimeError):
        return None


def _needs_gradient(leaf: Any) -> bool:
    return bool(getattr(leaf, "requires_grad", False))


def _checksum(leaf: Any) -> Optional[int]:
    """A checksum of the first bytes; None where the memory cannot be read, as on a device."""
    torch = sys.modules.get("torch")
    try:
        array = leaf.detach().numpy() if torch is not None and isinstance(leaf, torch.Tensor) else leaf
        return zlib.crc32(array.reshape(-1)[:_CHECKED_BYTES].tobytes())
    except Exception:  # bfloat16, a sparse layout, another device, objects
        return None


def _bytes_of(leaf: Any) -> int:
    """The memory of a tensor or an array; that of a sparse tensor is what its values take, 0 if torch does not tell."""
    try:
        if hasattr(leaf, "nbytes"):
            return int(leaf.nbytes)
        return int(leaf.numel() * leaf.element_size())
    except RuntimeError:  # torch defines no `nbytes` for such layouts
        return _bytes_of(leaf._values()) if leaf.is_sparse else 0


def _length(leaves: List[Tuple[Any, _State]]) -> int:
    """The longest first dimension of the tensors of a batch; 0 without any."""
    return max((state.shape[0] for _, state in leaves if state.shape), default=0)
