"""Finds how a dataset learns from the main process which epoch it is in: persistent workers, with a copy of their own, never hear of it."""

from __future__ import annotations

from typing import Any, Dict, Optional

from .dataset_walk import attributes_of, attributes_set_by, methods_that_read

METHOD = "set_epoch"
"""The name that torch's DistributedSampler gave this method, and that datasets took over."""
_NEVER_IN_WORKERS = {"__init__", METHOD, "__repr__"}


def find_epoch_setter(dataset: Any) -> Optional[Dict[str, Any]]:
    """Returns the `set_epoch` of a dataset or of a part of it, if it stores a plain value that other methods read.

    A tensor or another object in its place may be shared with the workers. Nothing is called.

    Returns:
        {"name": of the attribute, from the dataset, "place": "file:line" of the method}; None if there is none.
    """
    if setter := _setter_of(dataset, ""):
        return setter
    for attribute in attributes_of(dataset):
        if not isinstance(attribute.value, type) and (setter := _setter_of(attribute.value, attribute.route + ".")):
            return setter
    return None


def _setter_of(part: Any, prefix: str) -> Optional[Dict[str, Any]]:
    kind = type(part)
    method = next((vars(cls)[METHOD] for cls in kind.__mro__ if METHOD in vars(cls)), None)
    code = getattr(method, "__code__", None)
    if code is None:
        return None
    try:
        attributes = object.__getattribute__(part, "__dict__")
    except AttributeError:
        return None
    for name in attributes_set_by(code):
        if type(attributes.get(name)) in (int, float, type(None)) and methods_that_read(kind, name) - _NEVER_IN_WORKERS:
            return {"name": prefix + name, "place": "%s:%d" % (code.co_filename, code.co_firstlineno)}
    return None
