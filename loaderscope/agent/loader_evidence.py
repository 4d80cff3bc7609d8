"""Judges from an iter() whether the script trains with a DataLoader: by its sampler, the stack, and the source of the loop."""

from __future__ import annotations

import os
from types import FrameType
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from .error_sentences import is_user_file
from .framework_loops import framework_loop
from .loader_use import (
    LOOPS,
    REMADE_CLAUSE,
    TAKES_FEW_BATCHES,
    TAKES_ONE_BATCH,
    TRAINS,
    has_backward,
    names_of_training_loops,
    remakes_iterator,
    returns_value,
    use_of_loader,
)
from .made_loaders import live_loaders

TRAINING = "training"
EVALUATION = "evaluation"
CHECK = "check"
UNKNOWN = "unknown"
"""What the script does with a loader: it trains, evaluates, or takes a few batches to look at them; UNKNOWN without evidence."""

_CLAUSES = {
    TRAINS: "the code that iterates it calls backward() or step()",
    TAKES_ONE_BATCH: "only its first batch is used",
    TAKES_FEW_BATCHES: "only its first batches are used",
}
"""Uses that say whether the script trains with a loader."""

BESIDE_CLAUSE = "its batches are taken beside those of the loader that the training loop iterates"

_GENERATOR_FLAGS = 0x20 | 0x200  # inspect.CO_GENERATOR, inspect.CO_ASYNC_GENERATOR
_DEEPEST_SAMPLER = 5
_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LOADER_MODULES = ("torch.utils.data", "torchdata.stateful_dataloader")


class Evidence(NamedTuple):
    """What an iter() shows about a loader.

    Attributes:
        verdict: TRAINING, EVALUATION, CHECK or UNKNOWN.
        reason: the clause that decided; empty if UNKNOWN.
        clauses: all that was seen, in clauses whose subject is the loader ("it shuffles").
        trains_elsewhere: whether a loop over the loader trains nothing, but other code of the same file does.
        loop_loader: the loader of the loop that takes this one's batches beside its own; None if there is none.
    """

    verdict: str
    reason: str
    clauses: List[str]
    trains_elsewhere: bool = False
    loop_loader: Any = None


def evidence_of(loader: Any, frames: Sequence[FrameType]) -> Evidence:
    """Gathers the evidence at an iter() of a loader.

    Args:
        loader: the DataLoader.
        frames: the stack that led to the iter(), the innermost first.
    """
    framework = framework_loop(frames)
    gradients = has_gradients()
    use, file = _use(frames) if framework is None else (None, "")
    is_remade = framework is None and _is_remade(frames)
    if is_remade and use == TAKES_ONE_BATCH:
        use = LOOPS  # it takes one batch after another
    shuffled = shuffles(loader)
    clauses = {True: ["it shuffles"], False: ["it does not shuffle"], None: []}[shuffled]
    clauses += [] if gradients else ["gradients are off where it is iterated"]
    clauses += [REMADE_CLAUSE] if is_remade else []
    clauses += [] if use not in _CLAUSES else [_CLAUSES[use]]
    if framework is not None:
        clauses.append("%s iterates it" % framework.words)
        return Evidence(TRAINING if framework.is_training else EVALUATION, clauses[-1], clauses)
    if not gradients:
        return Evidence(EVALUATION, "gradients are off where it is iterated", clauses)
    loop_loader = _loop_loader(loader, frames) if use == TRAINS else None
    if loop_loader is not None:
        return Evidence(UNKNOWN, "", [*clauses, BESIDE_CLAUSE], loop_loader=loop_loader)
    if use in (TRAINS, TAKES_ONE_BATCH) or (use == TAKES_FEW_BATCHES and not shuffled):  # a short training shuffles, too
        return Evidence(TRAINING if use == TRAINS else CHECK, clauses[-1], clauses)
    if shuffled:
        return Evidence(TRAINING, clauses[0], clauses)
    return Evidence(UNKNOWN, "", clauses, use == LOOPS and has_backward(file))


def has_gradients() -> bool:
    """Whether what this thread computes now gets gradients."""
    import torch

    return bool(torch.is_grad_enabled() and not torch.is_inference_mode_enabled())


def shuffles(loader: Any) -> Optional[bool]:
    """Whether a loader draws its samples at random; None where its sampler does not say."""
    from torch.utils.data import RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler

    pending = [(getattr(loader, "sampler", None), 0), (getattr(loader, "batch_sampler", None), 0)]
    answer: Optional[bool] = None
    while pending:
        sampler, depth = pending.pop()
        if sampler is None or depth > _DEEPEST_SAMPLER:
            continue
        if isinstance(sampler, (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)) or "random" in type(sampler).__name__.lower():
            return True
        if getattr(sampler, "shuffle", None) is True:  # DistributedSampler, and others that follow it
            return True
        if isinstance(sampler, SequentialSampler) or getattr(sampler, "shuffle", None) is False:
            answer = False
        pending += [(getattr(sampler, name, None), depth + 1) for name in ("sampler", "batch_sampler")]
    return answer


def iterating_frame(frames: Sequence[FrameType]) -> Optional[FrameType]:
    """The innermost frame of the user's code that does not only pass batches on to its caller; else the outermost that does."""
    users = [frame for frame in frames if is_user_file(frame.f_code.co_filename)]
    return next((frame for frame in users if not _passes_on(frame)), users[-1] if users else None)


def _use(frames: Sequence[FrameType]) -> Tuple[Optional[str], str]:
    """How the innermost code that says something about it uses the loader, and the file of that code.

    The first frame that does not pass batches on decides.
    """
    for frame in frames:
        if _is_ours_or_torchs(frame):
            continue
        passes_on = _passes_on(frame)
        use = use_of_loader(frame, passes_on)
        if use in _CLAUSES or not passes_on:
            return use, frame.f_code.co_filename
    return None, ""


def _loop_loader(loader: Any, frames: Sequence[FrameType]) -> Any:
    frame = iterating_frame(frames)
    names = set() if frame is None else names_of_training_loops(frame)
    for name in sorted(names):
        other = frame.f_locals.get(name, frame.f_globals.get(name)) if frame is not None else None
        if other is not loader and any(other is made for made in live_loaders()):
            return other
    return None


def _is_remade(frames: Sequence[FrameType]) -> bool:
    frame = iterating_frame(frames)
    return frame is not None and remakes_iterator(frame)


def _is_ours_or_torchs(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return os.path.abspath(frame.f_code.co_filename).startswith(_OWN_FOLDER) or module.startswith(_LOADER_MODULES)


def _passes_on(frame: FrameType) -> bool:
    """Whether a frame may hand batches to its caller: generators, special methods, functions of libraries, and `return iter(loader)`."""
    code = frame.f_code
    is_special = code.co_name.startswith("__") and code.co_name.endswith("__")
    return bool(code.co_flags & _GENERATOR_FLAGS) or is_special or not is_user_file(code.co_filename) or returns_value(frame)
