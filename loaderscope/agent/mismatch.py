"""Finds the samples of a batch that differ from the others, where that is why they could not be put together.

It reads the values to be stacked from those frames of torch's default collate, or of `numpy.stack`, that the exception passed, and
searches the samples for them by identity. So it reports a difference only of values that really were to be stacked, and none
where the user's own code raised. `torch.stack` in the user's collate_fn has no frame: there the exception's text must fit the
shapes of one part of the samples.

It runs no code of the user's: it reads only built-in containers, tensors and arrays.
"""

from __future__ import annotations

import re
import sys
import time
from types import TracebackType
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import reasons, recorder
from .error_sentences import SAMPLES_DIFFER, headline
from .mismatch_words import Difference, EntryNames, Location, Path, SampleNames, sentence

_SEARCH_S = 0.3
_MAX_DEPTH = 6
_MAX_KEYS = 64
_MAX_SAMPLES = 10_000
_COLLATE_MODULE = "torch.utils.data._utils.collate"
_NUMPY_MODULES = ("numpy.core.shape_base", "numpy._core.shape_base")
_TORCH_STACK = re.compile(
    r"stack expects each tensor to be equal size, but got \[(?P<first>[\d, ]*)\] at entry 0 and \[(?P<other>[\d, ]*)\] at entry (?P<at>\d+)"
)
_NOT_FOR_SHAPES = ("Batches of ",)  # nested and sparse tensors, which torch's default collate refuses as such
_COLLATABLE_KINDS = ("number", "Tensor", "ndarray", "list", "dict", "str", "bytes")
"""Values of `_kind` that torch's default collate takes."""
_ASPECTS = {
    "collate": ("key", "type", "length"),
    "collate_tensor_fn": ("type", "shape", "dtype", "device"),
    "collate_numpy_array_fn": ("type", "dtype"),
    "stack": ("shape",),
}
"""Aspects whose difference makes a function of torch's collate, or `stack`, raise; for all other functions it is the type."""


class _StackedValues(NamedTuple):
    """Values that were to be put together, and the function that was to do it."""

    function: str
    values: List[Any]


def note(error: Exception, samples: Any, indices: Any, batch: int) -> None:
    """Writes down which samples differ, if that is why they could not be put together.

    Args:
        error: the exception that the collate raised.
        samples: the samples that it got.
        indices: a list of the samples' indices; anything else if they are unknown.
        batch: the batch's number.
    """
    explanation = explain(error, samples, indices)
    if explanation is not None:
        where = recorder.where_in_worker()
        who = ", worker %s" % where.rpartition(" ")[2] if where else ""
        reasons.write(error, "in batch %d %s (%s%s)" % (batch, explanation, headline(error), who), "", where, cause=SAMPLES_DIFFER)


def explain(error: Exception, samples: Any, indices: Any) -> Optional[str]:
    """Says which samples differ, and what to do; None if that is not why they could not be put together.

    May raise anything that a tensor of an odd class raises when it is read.
    """
    if type(samples) not in (list, tuple) or not 1 < len(samples) <= _MAX_SAMPLES:
        return None
    deadline_s = time.monotonic() + _SEARCH_S
    stacked, own_collate_fn = _stacked_values(error.__traceback__)
    if not stacked:
        return _explain_torch_stack(error, samples, indices, deadline_s)
    function, values = stacked[0]
    difference = _difference(function, values, error)
    if difference is None:
        return None
    collate_name = "numpy.stack" if function == "stack" else "torch's default collate"
    for _, held in stacked:  # the innermost may hold converted values: outer ones hold the samples' own
        location = _locate(held, samples, deadline_s) if len(held) == len(values) else None
        if location is not None:
            return sentence(difference, location, SampleNames(indices, len(samples)), collate_name, own_collate_fn)
    if not own_collate_fn:
        return None
    location = _locate(values, stacked[-1].values, deadline_s)
    return None if location is None else sentence(difference, location, EntryNames(), collate_name, own_collate_fn)


def _explain_torch_stack(error: Exception, samples: Sequence[Any], indices: Any, deadline_s: float) -> Optional[str]:
    """Explains a failure of `torch.stack` in the user's collate_fn, if just one part of the samples has the shapes in its text."""
    match = _TORCH_STACK.match(str(error)) if type(error) is RuntimeError else None
    if match is None or int(match["at"]) >= len(samples):
        return None
    at, first, other = int(match["at"]), "[%s]" % match["first"], "[%s]" % match["other"]
    fitting = []
    for path, held in _parts_of(samples, deadline_s):
        if len(held) == len(samples):
            shapes = [_shape(value) for _, value in held]
            if shapes[at] == other and all(shape == first for shape in shapes[:at]) and None not in shapes:
                fitting.append((path, [str(shape) for shape in shapes]))
    if len(fitting) != 1 or time.monotonic() > deadline_s:
        return None
    path, texts = fitting[0]
    location = Location(path, list(range(len(samples))))
    return sentence(Difference("shape", texts), location, SampleNames(indices, len(samples)), "torch.stack", own_collate_fn=True)


def _stacked_values(trace: Optional[TracebackType]) -> Tuple[List[_StackedValues], bool]:
    """The arguments of torch's collate functions, or numpy's stack, innermost first, and whether the user's collate_fn called them.

    There are none if they called other code that raised.
    """
    stacked: List[_StackedValues] = []
    own_collate_fn = False
    while trace is not None:
        frame = trace.tb_frame
        module, function = str(frame.f_globals.get("__name__")), frame.f_code.co_name
        held: Any = None
        if module == _COLLATE_MODULE and not function.startswith("<"):
            held = frame.f_locals.get("batch")
        elif module in _NUMPY_MODULES and function == "stack":
            held = frame.f_locals.get("arrays")
        elif module.partition(".")[0] not in ("torch", "numpy"):
            stacked, own_collate_fn = [], True
        if type(held) in (list, tuple) and held:
            stacked.append(_StackedValues(function, list(held)))
        trace = trace.tb_next
    return stacked[::-1], own_collate_fn


def _difference(function: str, values: List[Any], error: Exception) -> Optional[Difference]:
    """The aspect in which values differ so that `function` raises, and each value's text in it."""
    for aspect in _ASPECTS.get(function, ("type",)):
        texts = _ASPECT_TEXTS[aspect](values, error)
        known_texts = [text for text in texts if text is not None]
        if len(known_texts) == len(values) and len(set(known_texts)) > 1:
            return Difference(aspect, known_texts, error.args[0] if aspect == "key" else None)
    return None


def _key_texts(values: List[Any], error: Exception) -> List[Optional[str]]:
    if type(error) is not KeyError or len(error.args) != 1 or not all(isinstance(value, dict) for value in values):
        return [None]
    return ["has" if dict.__contains__(value, error.args[0]) else "lacks" for value in values]


def _type_texts(values: List[Any], _error: Exception) -> List[Optional[str]]:
    kinds = [_kind(value) for value in values]
    return [*kinds] if any(kind in _COLLATABLE_KINDS for kind in kinds) else [None]


def _length_texts(values: List[Any], _error: Exception) -> List[Optional[str]]:
    return [str(len(value)) if type(value) in (list, tuple) else None for value in values]


def _shape_texts(values: List[Any], error: Exception) -> List[Optional[str]]:
    return [None] if str(error).startswith(_NOT_FOR_SHAPES) else [_shape(value) for value in values]


def _dtype_texts(values: List[Any], error: Exception) -> List[Optional[str]]:
    return [
        str(value.dtype).replace("torch.", "") if _is_array(value) and ("type" in str(error) or "found" in str(error)) else None
        for value in values
    ]


def _device_texts(values: List[Any], error: Exception) -> List[Optional[str]]:
    return [str(value.device) if _is_array(value) and "device" in str(error) else None for value in values]


_ASPECT_TEXTS = {
    "key": _key_texts, "type": _type_texts, "length": _length_texts, "shape": _shape_texts, "dtype": _dtype_texts, "device": _device_texts,
}  # fmt: skip


def _kind(value: Any) -> str:
    """The type of a value as collate sees it: all numbers are of one type, and so are all lists and all tensors."""
    numpy = sys.modules.get("numpy")
    if isinstance(value, (bool, int, float)) or (numpy is not None and isinstance(value, numpy.number)):
        return "number"
    if _is_tensor(value):
        return "Tensor"
    return "list" if type(value) in (list, tuple) else "dict" if isinstance(value, dict) else type(value).__name__


def _is_tensor(value: Any) -> bool:
    return isinstance(value, sys.modules["torch"].Tensor)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return _is_tensor(value) or (numpy is not None and isinstance(value, numpy.ndarray))


def _shape(value: Any) -> Optional[str]:
    return "[%s]" % ", ".join(str(int(size)) for size in value.shape) if _is_array(value) else None


def _locate(values: List[Any], samples: Sequence[Any], deadline_s: float) -> Optional[Location]:
    """Where in the samples these very objects are, perhaps in some samples only."""
    for path, held in _parts_of(samples, deadline_s):
        positions = _positions(values, held)
        if positions is not None:
            return Location(path, positions)
    return None


def _positions(values: List[Any], held: List[Tuple[int, Any]]) -> Optional[List[int]]:
    """Positions of the samples that hold these values, in their order; None if they hold others.

    The user's collate_fn may have left out samples: then the values must be arrays or containers, because equal numbers are one object.
    """
    if len(values) > len(held) or (len(values) < len(held) and not all(_is_array(value) or _is_container(value) for value in values)):
        return None
    positions, rest = [], iter(held)
    for value in values:
        position = next((position for position, item in rest if item is value), None)
        if position is None:
            return None
        positions.append(position)
    return positions


def _parts_of(samples: Sequence[Any], deadline_s: float) -> Iterator[Tuple[Path, List[Tuple[int, Any]]]]:
    """Paths within samples, the shortest first, each with the positions of samples and their values there; ends when time is up."""
    waiting: List[Tuple[Path, List[Tuple[int, Any]]]] = [((), list(enumerate(samples)))]
    while waiting and time.monotonic() < deadline_s:
        path, held = waiting.pop(0)
        yield path, held
        if len(path) < _MAX_DEPTH:
            for key in _keys(held):
                waiting.append(((*path, key), [(position, _item(value, key)) for position, value in held if _holds(value, key)]))


def _is_container(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple))


def _keys(held: List[Tuple[int, Any]]) -> List[Any]:
    """The keys or positions in the first container among the values."""
    for _, value in held:
        if isinstance(value, dict):
            return [key for key in dict.keys(value) if type(key) in (str, int)][:_MAX_KEYS]
        if isinstance(value, (list, tuple)):
            return list(range(min(_length(value), _MAX_KEYS)))
    return []


def _length(value: Any) -> int:
    return list.__len__(value) if isinstance(value, list) else tuple.__len__(value)


def _holds(value: Any, key: Any) -> bool:
    if isinstance(value, dict):
        return dict.__contains__(value, key)
    return isinstance(value, (list, tuple)) and type(key) is int and key < _length(value)


def _item(value: Any, key: Any) -> Any:
    get: Any = dict.__getitem__ if isinstance(value, dict) else list.__getitem__ if isinstance(value, list) else tuple.__getitem__
    return get(value, key)
