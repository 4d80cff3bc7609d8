"""Knows the loops of training frameworks: which of their functions train and which evaluate."""

from __future__ import annotations

import re
from types import FrameType
from typing import Any, NamedTuple, Optional, Pattern, Sequence

from .loader_use import trains


class FrameworkLoop(NamedTuple):
    """A loop of a framework. `words`: how a sentence names it."""

    words: str
    is_training: bool


class _Row(NamedTuple):
    """The frames of one loop.

    Attributes:
        module: matches the name of the module.
        functions: names of its functions; None for all.
        loop: what they are.
    """

    module: Pattern[str]
    functions: Optional[Pattern[str]]
    loop: FrameworkLoop


def _row(module: str, functions: Optional[str], words: str, is_training: bool) -> _Row:
    return _Row(re.compile(module), None if functions is None else re.compile(functions), FrameworkLoop(words, is_training))


_LIGHTNING = r"(pytorch_lightning|lightning\.pytorch)\."
_SANITY_CHECK = _row(_LIGHTNING + r"trainer\.trainer$", "_run_sanity_check$", "Lightning's sanity check", False)
"""It runs the loop of the evaluation, and never stands within a training."""

_ROWS = (
    _row(_LIGHTNING + r"loops\.evaluation_loop$", None, "Lightning's evaluation", False),
    _row(_LIGHTNING + r"loops\.prediction_loop$", None, "Lightning's prediction", False),
    _row(_LIGHTNING + r"loops\.(fit_loop|training_epoch_loop)$", None, "Lightning's training", True),
    _row(r"transformers\.trainer", r"(evaluation_loop|prediction_loop|evaluate|predict)$", "the Trainer's evaluation", False),
    _row(r"transformers\.trainer", r"(_inner_training_loop|train)$", "the Trainer's training", True),
    _row(r"ultralytics\.engine\.validator$", None, "the validation of ultralytics", False),
    _row(r"ultralytics\.engine\.trainer$", None, "the training of ultralytics", True),
    _row(r"keras\..*trainer$", r"(evaluate|predict)$", "Keras's evaluation", False),
    _row(r"keras\..*trainer$", r"fit$", "Keras's training", True),
)
_IGNITE_ENGINE = re.compile(r"ignite\.engine\.engine$")


def framework_loop(frames: Sequence[FrameType]) -> Optional[FrameworkLoop]:
    """The innermost loop of a framework on a stack; None without one.

    Args:
        frames: the stack, the innermost frame first.
    """
    if any(_is_of(frame, _SANITY_CHECK) for frame in frames):
        return _SANITY_CHECK.loop
    for frame in frames:
        for row in _ROWS:
            if _is_of(frame, row):
                return row.loop
        if _IGNITE_ENGINE.match(_module_of(frame)) and frame.f_code.co_varnames[:1] == ("self",):
            return _ignite_loop(frame.f_locals.get("self"))
    return None


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_of(frame: FrameType, row: _Row) -> bool:
    return bool(row.module.match(_module_of(frame))) and (row.functions is None or bool(row.functions.match(frame.f_code.co_name)))


def _ignite_loop(engine: Any) -> Optional[FrameworkLoop]:
    """The loop of an Engine of ignite, from which MONAI's trainers and evaluators derive."""
    names = [cls.__name__ for cls in type(engine).__mro__]
    if any(name.endswith("Evaluator") for name in names):
        return FrameworkLoop("MONAI's evaluator", False)
    if any(name.endswith("Trainer") for name in names):
        return FrameworkLoop("MONAI's trainer", True)
    code = getattr(getattr(engine, "_process_function", None), "__code__", None)
    if code is None:
        return None
    is_training = trains(code.co_filename, code.co_firstlineno)
    return FrameworkLoop("a trainer of ignite" if is_training else "an evaluator of ignite", is_training)
