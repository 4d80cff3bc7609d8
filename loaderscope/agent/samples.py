"""What one sample is made of, and a cheap fingerprint of a dataset's state."""

from __future__ import annotations

import itertools
import sys
import zlib
from typing import Any, Dict, List, Mapping, Optional

_SHOWN_ITEMS = 16
_COUNTED_ITEMS = 10_000
_DEPTH = 6
_FINGERPRINT_NODES = 400
_FINGERPRINT_DEPTH = 4
_FINGERPRINT_BYTES = 32
_FINGERPRINT_ITEMS = 32


def describe(value: Any, depth: int = _DEPTH) -> Dict[str, Any]:
    """The structure of a sample as plain JSON values.

    Args:
        value: anything that a dataset gives.
        depth: levels that are still told.

    Returns:
        `type` and, where they are known, `shape`, `dtype`, `device`, `bytes`, `value` (short scalars) and `length`.
        Containers have `items`: the first 16 of them, each with a `key` (position, key or field name).
    """
    cls = type(value)
    told: Dict[str, Any] = {"type": cls.__name__}
    if value is None:
        return told
    if isinstance(value, (bool, int, float, complex)):
        told.update(value=value if isinstance(value, (bool, int)) else repr(value), bytes=8)
    elif isinstance(value, (str, bytes, bytearray)):
        told.update(length=len(value), bytes=len(value.encode("utf-8", "replace")) if isinstance(value, str) else len(value))
    elif _is_array(value):
        told.update(shape=[int(size) for size in value.shape], dtype=str(value.dtype), bytes=_array_bytes(value))
        if hasattr(value, "device"):
            told["device"] = str(value.device)
    elif isinstance(getattr(value, "size", None), tuple) and hasattr(value, "mode"):  # PIL.Image, not imported here
        told.update(shape=list(value.size), dtype=str(value.mode), bytes=value.size[0] * value.size[1] * len(value.getbands()))
    else:
        children = _children(value)
        if children is not None:
            _describe_children(told, children, depth)
    return told


def _describe_children(told: Dict[str, Any], children: Dict[Any, Any], depth: int) -> None:
    told["length"] = len(children)
    if depth <= 0:
        return
    shown = list(children.items())[:_SHOWN_ITEMS]
    told["items"] = [{"key": key if isinstance(key, int) else str(key), **describe(item, depth - 1)} for key, item in shown]
    if len(shown) == len(children):
        sizes = [item.get("bytes") for item in told["items"]]
        told["bytes"] = sum(size for size in sizes if size is not None)
    elif len(children) <= _COUNTED_ITEMS:
        told["bytes"] = sum(describe(item, depth - 1).get("bytes") or 0 for item in children.values())


def _children(value: Any) -> Optional[Dict[Any, Any]]:
    if isinstance(value, Mapping):
        return dict(value)
    fields = getattr(value, "_fields", None) or getattr(value, "__dataclass_fields__", None)
    if fields and not isinstance(value, type) and all(isinstance(name, str) for name in fields):
        return {name: getattr(value, name, None) for name in fields}
    if isinstance(value, (list, tuple, set, frozenset)):
        return dict(enumerate(value))
    attributes = getattr(value, "__dict__", None)
    if attributes and type(value).__module__ not in ("builtins", "types"):  # an object of the user's own
        return {name: item for name, item in attributes.items() if not name.startswith("_")}
    return None


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and isinstance(getattr(value, "shape", None), (tuple, list))


def _array_bytes(value: Any) -> Optional[int]:
    size = getattr(value, "nbytes", None)
    return int(size) if isinstance(size, int) else None


def batch_length(batch: Any) -> Optional[int]:
    """Samples in a batch, from its first tensor's first dimension; None where there is no tensor."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(batch, torch.Tensor):
        return int(batch.shape[0]) if batch.dim() else None
    if isinstance(batch, Mapping):
        parts: List[Any] = list(batch.values())
    elif isinstance(batch, (list, tuple)):
        parts = list(batch)
    else:
        return None
    lengths = (batch_length(part) for part in parts)
    return next((length for length in lengths if length is not None), None)


def fingerprint(dataset: Any) -> str:
    """A short text that changes when a dataset's own state does: scalars, container lengths, tensor versions, a few bytes.

    It is compared within one process only, so that objects may stand in it by their identity.
    """
    parts: List[str] = []
    _collect(dataset, _FINGERPRINT_DEPTH, parts, set())
    return "%08x" % zlib.crc32("\n".join(parts).encode("utf-8", "replace"))


def _collect(value: Any, depth: int, parts: List[str], seen: Any) -> None:
    if len(parts) >= _FINGERPRINT_NODES:
        return
    if value is None or isinstance(value, (bool, int, float, complex)):
        parts.append(repr(value))
    elif isinstance(value, (str, bytes, bytearray)):
        parts.append("%d%r" % (len(value), value[:_FINGERPRINT_BYTES]))
    elif id(value) in seen:
        parts.append("again")
    else:
        seen.add(id(value))
        parts.append("%s %x" % (type(value).__name__, id(value)))
        if _is_array(value):
            parts.append("%s %s %s" % (tuple(value.shape), value.dtype, _array_state(value)))
        elif isinstance(value, (list, tuple, set, frozenset, dict)):
            parts.append(str(len(value)))
            if depth > 0:
                items = value.values() if isinstance(value, dict) else value
                for item in itertools.islice(items, _FINGERPRINT_ITEMS):
                    _collect(item, depth - 1, parts, seen)
        elif depth > 0 and not isinstance(value, type):
            attributes = getattr(value, "__dict__", None)
            for name, item in list(attributes.items()) if isinstance(attributes, dict) else []:
                parts.append(str(name))
                _collect(item, depth - 1, parts, seen)


def _array_state(value: Any) -> str:
    version = getattr(value, "_version", None)  # torch counts in-place changes
    if version is not None:
        return str(version)
    try:
        flat = value.reshape(-1) if not value.flags.c_contiguous else value.ravel()
        return repr(flat[:4].tolist()) + repr(flat[-4:].tolist())
    except Exception:  # an array type of somebody's own: its shape must do
        return ""
