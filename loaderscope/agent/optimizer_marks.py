"""Marks in a recorded training when an optimizer of torch has updated its parameters."""

from __future__ import annotations

from typing import Any, Callable, Optional

from . import recorder
from .layout import State
from .torch_internals import imported

_OPTIMIZER_STEP = recorder.instant_kind(State.OPTIMIZER_STEP)

_handle: Any = None
_step_callback: Optional[Callable[[], None]] = None


def install() -> None:
    """Marks the steps of all optimizers from now on; does nothing where torch has no hook for all of them, or no `is_compiling`."""
    global _handle
    register = getattr(imported("torch.optim.optimizer"), "register_optimizer_step_post_hook", None)
    is_compiling = getattr(imported("torch.compiler"), "is_compiling", None)
    if _handle is None and register is not None and is_compiling is not None:
        _handle = register(_post_hook(is_compiling))


def set_step_callback(callback: Optional[Callable[[], None]]) -> None:
    """Calls `callback` after each step that is marked from now on; None ends that."""
    global _step_callback
    _step_callback = callback


def uninstall() -> None:
    """Ends that."""
    global _handle
    if _handle is not None:
        _handle.remove()
        _handle = None


def _post_hook(is_compiling: Callable[[], bool]) -> Callable[..., None]:
    def mark(*_optimizer_and_arguments: Any) -> None:
        if not is_compiling():  # Dynamo would break a compiled step in two at our records: it knows this call, and leaves the rest out
            recorder.write(_OPTIMIZER_STEP)
            if _step_callback is not None:
                _step_callback()

    return mark
