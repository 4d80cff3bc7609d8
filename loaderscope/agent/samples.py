"""Describes the structure of a sample, and makes a cheap fingerprint of a dataset's state."""

from __future__ import annotations

import itertools
import zlib
from typing import Any, Dict, List, Mapping, Optional

_MAX_DESCRIBED_ITEMS = 16
_MAX_COUNTED_ITEMS = 10_000
_MAX_DEPTH = 6
_MAX_FINGERPRINT_PARTS = 400
_FINGERPRINT_DEPTH = 4
_FINGERPRINT_BYTES = 32
_FINGERPRINT_ITEMS = 32


def describe(value: Any, depth: int = _MAX_DEPTH) -> Dict[str, Any]:
    """Describes the structure of a sample as plain JSON values.

    Args:
        value: anything that a dataset gives.
        depth: how many levels of containers to describe.

    Returns:
        `type` and, where known, `shape`, `dtype`, `device`, `bytes`, `value` (short scalars) and `length`.
        Containers have `items`: the first 16 of them, each with a `key` (position, key or field name).
    """
    cls = type(value)
    description: Dict[str, Any] = {"type": cls.__name__}
    if value is None:
        return description
    if isinstance(value, (bool, int, float, complex)):
        description.update(value=value if isinstance(value, (bool, int)) else repr(value), bytes=8)
    elif isinstance(value, (str, bytes, bytearray)):
        description.update(length=len(value), bytes=len(value.encode("utf-8", "replace")) if isinstance(value, str) else len(value))
    elif is_array(value):
        description.update(shape=[int(size) for size in value.shape], dtype=str(value.dtype), bytes=_array_bytes(value))
        if hasattr(value, "device"):
            description["device"] = str(value.device)
    elif isinstance(getattr(value, "size", None), tuple) and hasattr(value, "mode"):  # a PIL.Image; PIL is not imported for that
        description.update(shape=list(value.size), dtype=str(value.mode), bytes=value.size[0] * value.size[1] * len(value.getbands()))
    else:
        children = _children(value)
        if children is not None:
            _describe_children(description, children, depth)
    return description


def _describe_children(description: Dict[str, Any], children: Dict[Any, Any], depth: int) -> None:
    description["length"] = len(children)
    if depth <= 0:
        return
    shown = list(children.items())[:_MAX_DESCRIBED_ITEMS]
    description["items"] = [{"key": key if isinstance(key, int) else str(key), **describe(item, depth - 1)} for key, item in shown]
    if len(shown) == len(children):
        sizes = [item.get("bytes") for item in description["items"]]
        description["bytes"] = sum(size for size in sizes if size is not None)
    elif len(children) <= _MAX_COUNTED_ITEMS:
        description["bytes"] = sum(describe(item, depth - 1).get("bytes") or 0 for item in children.values())


def _children(value: Any) -> Optional[Dict[Any, Any]]:
    if isinstance(value, Mapping):
        return dict(value)
    fields = getattr(value, "_fields", None) or getattr(value, "__dataclass_fields__", None)
    if fields and not isinstance(value, type) and all(isinstance(name, str) for name in fields):
        return {name: getattr(value, name, None) for name in fields}
    if isinstance(value, (list, tuple, set, frozenset)):
        return dict(enumerate(value))
    attributes = getattr(value, "__dict__", None)
    if attributes and type(value).__module__ not in ("builtins", "types"):  # an object of a class of the user's
        return {name: item for name, item in attributes.items() if not name.startswith("_")}
    return None


def is_array(value: Any) -> bool:
    """Whether a value is a tensor or an array: it has a shape and a dtype. A mapping is none, whatever its attributes are."""
    if isinstance(value, Mapping):
        return False
    try:
        return isinstance(value.shape, (tuple, list)) and hasattr(value, "dtype")
    except Exception:  # a `__getattr__` of the user's raises whatever it likes
        return False


def _array_bytes(value: Any) -> Optional[int]:
    size = getattr(value, "nbytes", None)
    return int(size) if isinstance(size, int) else None


def fingerprint(dataset: Any) -> str:
    """A short text that changes with a dataset's own state: scalars, container lengths, tensor versions, a few bytes.

    Only texts of one process are compared, so it may contain the identities of objects.
    """
    parts: List[str] = []
    _collect_state(dataset, _FINGERPRINT_DEPTH, parts, set())
    return "%08x" % zlib.crc32("\n".join(parts).encode("utf-8", "replace"))


def _collect_state(value: Any, depth: int, parts: List[str], seen: Any) -> None:
    if len(parts) >= _MAX_FINGERPRINT_PARTS:
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
        if is_array(value):
            parts.append("%s %s %s" % (tuple(value.shape), value.dtype, _array_state(value)))
        elif isinstance(value, (list, tuple, set, frozenset, dict)):
            parts.append(str(len(value)))
            if depth > 0:
                items = value.values() if isinstance(value, dict) else value
                for item in itertools.islice(items, _FINGERPRINT_ITEMS):
                    _collect_state(item, depth - 1, parts, seen)
        elif depth > 0 and not isinstance(value, type):
            attributes = getattr(value, "__dict__", None)
            for name, item in list(attributes.items()) if isinstance(attributes, dict) else []:
                parts.append(str(name))
                _collect_state(item, depth - 1, parts, seen)


def _array_state(value: Any) -> str:
    version = getattr(value, "_version", None)  # torch counts in-place changes
    if version is not None:
        return str(version)
    try:
        flat = value.reshape(-1) if not value.flags.c_contiguous else value.ravel()
        return repr(flat[:4].tolist()) + repr(flat[-4:].tolist())
    except Exception:  # an array type of the user's: only its shape counts
        return ""
