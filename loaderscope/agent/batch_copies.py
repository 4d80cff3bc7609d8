"""Copies batches so that nobody can tell a copy from what the loader gave, or says why there is no such copy."""

from __future__ import annotations

import collections
import copy
import enum
import pathlib
import sys
import types
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple

_UNCHANGEABLE = (str, bytes, int, float, complex, type, enum.Enum, pathlib.PurePath, types.FunctionType, types.BuiltinFunctionType)
"""Objects of these classes are in a batch and in its copies alike."""

_KNOWN_BASES = (object, dict, list, collections.OrderedDict, collections.defaultdict)
"""Classes of C whose content `_copied_object` copies."""

_HEAP_TYPE = 1 << 9
"""The flag of classes that no static structure of C defines (Include/object.h, Py_TPFLAGS_HEAPTYPE)."""

_ALIGNMENT_BYTES = 16
"""A multiple of the size of every dtype."""

_MOST_GAPS = 4
"""A view whose elements lie in a memory so many times as large is not copied with all of that memory."""


class UncopyableError(Exception):
    """The batch holds something of which no copy is known to be the same; the message names it."""


class BatchCopy(NamedTuple):
    """A copy of a batch, and the memory that its tensors and arrays take."""

    batch: Any
    byte_count: int


class _Span(NamedTuple):
    """Where the elements of a tensor or an array lie in memory."""

    device: str
    start: int
    end: int
    leaf: Any


def copy_batch(batch: Any) -> BatchCopy:
    """Copies a batch: new containers and objects, tensors with the same strides that share memory where those of the batch do.

    Raises:
        UncopyableError: a copy might differ from the batch.
    """
    copies, byte_count = _copy_leaves(leaves_of(batch))
    return BatchCopy(_copied(batch, copies), byte_count)


def leaves_of(batch: Any) -> List[Any]:
    """Returns the tensors and NumPy arrays of a batch, each once, also those in attributes of objects."""
    leaves: List[Any] = []
    unvisited, seen = [batch], set()
    while unvisited:
        part = unvisited.pop()
        if part is None or isinstance(part, _UNCHANGEABLE) or id(part) in seen:
            continue
        seen.add(id(part))
        if _is_tensor(part) or _is_array(part):
            leaves.append(part)
            continue
        if isinstance(part, dict):
            unvisited.extend(dict.values(part))
        elif isinstance(part, (list, tuple)):
            unvisited.extend(part)
        if hasattr(part, "__dict__"):
            unvisited.extend(vars(part).values())
    return leaves


def _is_tensor(part: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(part, torch.Tensor)


def _is_array(part: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(part, numpy.ndarray)


def _copied(part: Any, copies: Dict[int, Any]) -> Any:
    """Returns the copy of a part; `copies` has those that are made, by id of the original, so that what is in two places stays one."""
    if part is None or isinstance(part, _UNCHANGEABLE):
        return part
    if id(part) not in copies:
        copies[id(part)] = _copied_container(part, copies)
    return copies[id(part)]


def _copied_container(part: Any, copies: Dict[int, Any]) -> Any:
    kind = type(part)
    if kind is dict:
        return {key: _copied(value, copies) for key, value in part.items()}
    if kind in (list, tuple):
        return kind([_copied(value, copies) for value in part])
    if kind in (set, frozenset) and all(value is None or isinstance(value, _UNCHANGEABLE) for value in part):
        return kind(part)
    if any(_slots_of(base) for base in kind.__mro__):
        raise UncopyableError("%s, whose attributes are slots" % _named(kind))
    if isinstance(part, tuple) and hasattr(kind, "_fields"):
        new = tuple.__new__(kind, [_copied(value, copies) for value in part])  # a constructor of its own may take other arguments
        if hasattr(part, "__dict__"):
            vars(new).update({name: _copied(value, copies) for name, value in vars(part).items()})
        return new
    if hasattr(part, "__dict__") or isinstance(part, (dict, list)):
        return _copied_object(part, copies)
    if isinstance(part, Iterable):
        raise UncopyableError("%s, which may hold tensors" % _named(kind))
    return copy.deepcopy(part)


def _copied_object(part: Any, copies: Dict[int, Any]) -> Any:
    kind = type(part)
    if any(not base.__flags__ & _HEAP_TYPE and base not in _KNOWN_BASES for base in kind.__mro__):
        raise UncopyableError("%s, whose content is hidden" % _named(kind))
    new = copy.copy(part)
    if new is part or type(new) is not kind:
        raise UncopyableError("%s, which makes no copy of itself" % _named(kind))
    if isinstance(part, dict):
        for key, value in dict.items(part):
            dict.__setitem__(new, key, _copied(value, copies))
    elif isinstance(part, list):
        list.__setitem__(new, slice(None), [_copied(value, copies) for value in list.__iter__(part)])
    if hasattr(part, "__dict__"):
        attributes = {name: _copied(value, copies) for name, value in vars(part).items()}
        vars(new).clear()
        vars(new).update(attributes)
    return new


def _slots_of(kind: type) -> bool:
    slots = vars(kind).get("__slots__") or ()
    return bool({slots} if isinstance(slots, str) else set(slots) - {"__dict__", "__weakref__"})


def _named(kind: type) -> str:
    return "an object of the class %s" % kind.__name__


def _copy_leaves(leaves: List[Any]) -> Tuple[Dict[int, Any], int]:
    """Returns copies of tensors and arrays by the id of the original, and the memory that they take."""
    copies: Dict[int, Any] = {}
    spans: List[_Span] = []
    byte_count = 0
    for leaf in leaves:
        _check(leaf)
        if _is_tensor(leaf) and str(leaf.layout).startswith("torch.sparse"):
            copies[id(leaf)] = leaf.detach().clone().requires_grad_(leaf.requires_grad)
            byte_count += leaf._values().nbytes if leaf.is_sparse else leaf.values().nbytes
        else:
            spans.append(_span_of(leaf))
    for region in _overlapping(spans):
        byte_count += max(span.end for span in region) - region[0].start
        _copy_region(region, copies)
    return copies, byte_count


def _check(leaf: Any) -> None:
    """Raises UncopyableError for a tensor or an array of which a copy would differ."""
    if _is_array(leaf):
        if type(leaf).__module__ != "numpy" or type(leaf).__name__ != "ndarray" or leaf.dtype.hasobject:
            raise UncopyableError("an array of the class %s with values of %s" % (type(leaf).__name__, leaf.dtype))
        return
    torch = sys.modules["torch"]
    if type(leaf) is not torch.Tensor:
        raise UncopyableError("a tensor of the class %s" % type(leaf).__name__)
    if leaf.is_nested or not str(leaf.layout).startswith(("torch.sparse", "torch.strided")):
        raise UncopyableError("a nested tensor" if leaf.is_nested else "a tensor in the layout %s" % leaf.layout)
    if leaf.grad_fn is not None or leaf.grad is not None or leaf._backward_hooks:
        raise UncopyableError("a tensor with gradients of its own")
    if vars(leaf):
        raise UncopyableError("a tensor with the attribute %s" % next(iter(vars(leaf))))
    if leaf.is_quantized or any(getattr(leaf, "names", ())) or leaf.is_conj() or leaf.is_neg():
        raise UncopyableError("a tensor that is more than its memory: quantized, with names, or conjugate")


def _span_of(leaf: Any) -> _Span:
    if _is_array(leaf):
        start = leaf.__array_interface__["data"][0]
        if sys.modules["numpy"].empty_like(leaf).strides != leaf.strides:  # as a copy in its order has them
            raise UncopyableError("an array with gaps")
        return _Span("cpu", start, start + leaf.nbytes, leaf)
    start = leaf.untyped_storage().data_ptr() + leaf.storage_offset() * leaf.element_size()
    if not leaf.numel():
        return _Span(str(leaf.device), start, start, leaf)
    last = sum((size - 1) * leaf.stride(axis) for axis, size in enumerate(leaf.shape))
    return _Span(str(leaf.device), start, start + (last + 1) * leaf.element_size(), leaf)


def _overlapping(spans: List[_Span]) -> List[List[_Span]]:
    """Groups spans that share memory."""
    regions: List[List[_Span]] = []
    device, end = "", 0
    for span in sorted(spans, key=lambda span: span[:3]):
        if regions and span.device == device and span.start < end:
            regions[-1].append(span)
            end = max(end, span.end)
        else:
            regions.append([span])
            device, end = span.device, span.end
    return regions


def _copy_region(region: List[_Span], copies: Dict[int, Any]) -> None:
    """Copies a piece of memory, and gives each of its tensors a copy there."""
    first = region[0].leaf
    if _is_array(first) and len(region) == 1:
        copies[id(first)] = new = first.copy(order="K")
        new.flags.writeable = first.flags.writeable
        return
    torch = sys.modules["torch"]
    if any(_is_array(span.leaf) for span in region):
        raise UncopyableError("an array that shares its memory")
    with torch.no_grad(), torch.inference_mode(first.is_inference()):
        if len(region) == 1:
            new = torch.empty_like(first, pin_memory=_is_pinned(first)).copy_(first)
            if new.stride() == first.stride():
                copies[id(first)] = new.requires_grad_() if first.requires_grad else new
                return
        _copy_memory(region, copies)


def _copy_memory(region: List[_Span], copies: Dict[int, Any]) -> None:
    """Copies a piece of memory byte by byte, with all gaps, and gives each of its tensors the same strides there."""
    torch, first = sys.modules["torch"], region[0].leaf
    storage, end = first.untyped_storage(), max(span.end for span in region)
    base = storage.data_ptr()
    if any(span.leaf.untyped_storage().data_ptr() != base for span in region):
        raise UncopyableError("tensors that share memory without knowing it")
    if end - region[0].start > _MOST_GAPS * sum(span.leaf.nbytes for span in region):
        raise UncopyableError("a tensor with wide gaps between its elements")
    begin = region[0].start - (region[0].start - base) % _ALIGNMENT_BYTES
    source = torch.empty(0, dtype=torch.uint8, device=first.device).set_(storage, begin - base, (end - begin,), (1,))
    memory = torch.empty(end - begin, dtype=torch.uint8, device=first.device, pin_memory=_is_pinned(first)).copy_(source)
    for span in region:
        leaf = span.leaf
        new = torch.empty(0, dtype=leaf.dtype, device=leaf.device)
        new.set_(memory.untyped_storage(), (span.start - begin) // leaf.element_size(), tuple(leaf.shape), leaf.stride())
        copies[id(leaf)] = new.requires_grad_() if leaf.requires_grad else new


def _is_pinned(tensor: Any) -> bool:
    return bool(tensor.device.type == "cpu" and tensor.is_pinned())
