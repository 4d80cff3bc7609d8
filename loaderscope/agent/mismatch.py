"""Which samples of a batch differ from the others, where that is why they could not be put together.

What was put together is taken from the frames of torch's default collate, and of `numpy.stack`, that the exception came
through, and looked for in the samples by identity: so a difference is told only of values that really were to be stacked, and
not where the user's own code raised. For `torch.stack` in the user's collate_fn, which has no frame, the exception's text has
to fit the shapes of one part of the samples.

Nothing of the user's runs for it: only built-in containers, tensors and arrays are looked into.
"""

from __future__ import annotations

import re
import sys
import time
from types import TracebackType
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import reasons, recorder
from .error_sentences import headline
from .mismatch_words import Difference, Entries, Found, Path, Samples, sentence

_SEARCH_S = 0.3
_DEPTH = 6
_PARTS = 64
_MAX_SAMPLES = 10_000
_COLLATE_MODULE = "torch.utils.data._utils.collate"
_NUMPY_MODULES = ("numpy.core.shape_base", "numpy._core.shape_base")
_TORCH_STACK = re.compile(
    r"stack expects each tensor to be equal size, but got \[(?P<first>[\d, ]*)\] at entry 0 and \[(?P<other>[\d, ]*)\] at entry (?P<at>\d+)"
)
_NOT_FOR_SHAPES = ("Batches of ",)  # nested and sparse tensors, which torch's default collate refuses as such
_TAKEN = ("number", "Tensor", "ndarray", "list", "dict", "str", "bytes")
"""Of `_kind`: what torch's default collate takes."""
_ASPECTS = {
    "collate": ("key", "type", "length"),
    "collate_tensor_fn": ("type", "shape", "dtype", "device"),
    "collate_numpy_array_fn": ("type", "dtype"),
    "stack": ("shape",),
}
"""What may differ so that a function of torch's collate, or `stack`, raises; others of torch's collate: the type."""


class _Stacked(NamedTuple):
    """Values that were to be put together, and by what."""

    function: str
    values: List[Any]


def tell(error: Exception, samples: Any, indices: Any, batch: int) -> None:
    """Notes which samples differ, if that is why they could not be put together.

    Args:
        error: what the collate raised.
        samples: what it was given.
        indices: of the samples; anything else than a list of as many if they are unknown.
        batch: the batch's number.
    """
    told = explain(error, samples, indices)
    if told is not None:
        where = recorder.where_in_worker()
        who = ", worker %s" % where.rpartition(" ")[2] if where else ""
        reasons.tell(error, "in batch %d %s (%s%s)" % (batch, told, headline(error), who), "", where)


def explain(error: Exception, samples: Any, indices: Any) -> Optional[str]:
    """Which samples differ, and what to do; None if that is not why they could not be put together.

    May raise whatever a tensor of an odd class raises when it is looked at.
    """
    if type(samples) not in (list, tuple) or not 1 < len(samples) <= _MAX_SAMPLES:
        return None
    deadline = time.monotonic() + _SEARCH_S
    stacked, own_collate_fn = _stacked(error.__traceback__)
    if not stacked:
        return _explain_torch_stack(error, samples, indices, deadline)
    function, values = stacked[0]
    difference = _difference(function, values, error)
    if difference is None:
        return None
    by = "numpy.stack" if function == "stack" else "torch's default collate"
    for _, held in stacked:  # the innermost may be converted already: those around it are the samples' own
        found = _find(held, samples, deadline) if len(held) == len(values) else None
        if found is not None:
            return sentence(difference, found, Samples(indices, len(samples)), by, own_collate_fn)
    if not own_collate_fn:
        return None
    found = _find(values, stacked[-1].values, deadline)
    return None if found is None else sentence(difference, found, Entries(), by, own_collate_fn)


def _explain_torch_stack(error: Exception, samples: Sequence[Any], indices: Any, deadline: float) -> Optional[str]:
    """Of `torch.stack` in the user's collate_fn: the only part of the samples whose shapes are those in the exception's text."""
    match = _TORCH_STACK.match(str(error)) if type(error) is RuntimeError else None
    if match is None or int(match["at"]) >= len(samples):
        return None
    at, first, other = int(match["at"]), "[%s]" % match["first"], "[%s]" % match["other"]
    fitting = []
    for path, held in _parts_of(samples, deadline):
        if len(held) == len(samples):
            shapes = [_shape(value) for _, value in held]
            if shapes[at] == other and all(shape == first for shape in shapes[:at]) and None not in shapes:
                fitting.append((path, [str(shape) for shape in shapes]))
    if len(fitting) != 1 or time.monotonic() > deadline:
        return None
    path, texts = fitting[0]
    found = Found(path, list(range(len(samples))))
    return sentence(Difference("shape", texts), found, Samples(indices, len(samples)), "torch.stack", own_collate_fn=True)


def _stacked(trace: Optional[TracebackType]) -> Tuple[List[_Stacked], bool]:
    """What functions of torch's collate, or numpy's stack, had in hand, innermost first, and whether the user's collate_fn called them.

    Nothing if other code was called by them and raised.
    """
    found: List[_Stacked] = []
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
            found, own_collate_fn = [], True
        if type(held) in (list, tuple) and held:
            found.append(_Stacked(function, list(held)))
        trace = trace.tb_next
    return found[::-1], own_collate_fn


def _difference(function: str, values: List[Any], error: Exception) -> Optional[Difference]:
    """The aspect in which values differ so that `function` raises, and what each is in it."""
    for aspect in _ASPECTS.get(function, ("type",)):
        texts = _ASPECT_TEXTS[aspect](values, error)
        told = [text for text in texts if text is not None]
        if len(told) == len(values) and len(set(told)) > 1:
            return Difference(aspect, told, error.args[0] if aspect == "key" else None)
    return None


def _key_texts(values: List[Any], error: Exception) -> List[Optional[str]]:
    if type(error) is not KeyError or len(error.args) != 1 or not all(isinstance(value, dict) for value in values):
        return [None]
    return ["has" if dict.__contains__(value, error.args[0]) else "lacks" for value in values]


def _type_texts(values: List[Any], _error: Exception) -> List[Optional[str]]:
    kinds = [_kind(value) for value in values]
    return [*kinds] if any(kind in _TAKEN for kind in kinds) else [None]


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
    """The type of a value, as far as it matters for being put together: any number is like another, any list, any tensor."""
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


def _find(values: List[Any], samples: Sequence[Any], deadline: float) -> Optional[Found]:
    """Where in the samples these very objects are, perhaps not of all samples."""
    for path, held in _parts_of(samples, deadline):
        positions = _positions(values, held)
        if positions is not None:
            return Found(path, positions)
    return None


def _positions(values: List[Any], held: List[Tuple[int, Any]]) -> Optional[List[int]]:
    """Positions of the samples that hold these values, in their order; None if they do not.

    The user's collate_fn may have left out samples: then values must be objects of their own, not numbers or None.
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


def _parts_of(samples: Sequence[Any], deadline: float) -> Iterator[Tuple[Path, List[Tuple[int, Any]]]]:
    """Paths within samples, the shortest first, each with what samples hold there and their positions; ends when time is up."""
    waiting: List[Tuple[Path, List[Tuple[int, Any]]]] = [((), list(enumerate(samples)))]
    while waiting and time.monotonic() < deadline:
        path, held = waiting.pop(0)
        yield path, held
        if len(path) < _DEPTH:
            for key in _keys(held):
                waiting.append(((*path, key), [(position, _item(value, key)) for position, value in held if _holds(value, key)]))


def _is_container(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple))


def _keys(held: List[Tuple[int, Any]]) -> List[Any]:
    """The keys or positions of what the first sample that has any holds."""
    for _, value in held:
        if isinstance(value, dict):
            return [key for key in dict.keys(value) if type(key) in (str, int)][:_PARTS]
        if isinstance(value, (list, tuple)):
            return list(range(min(_length(value), _PARTS)))
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
