"""Gives a loader of the script the values of a setting in place.

The object stays the same, so what the script does with it stays right: wrappers that hold it, `isinstance`, `len`, its samplers.
"""

from __future__ import annotations

import multiprocessing
from typing import Any, Dict, List

from . import loaders
from .error_sentences import UNSUPPORTED, AgentError
from .messages import TrialConfig

_CONTEXT_SUFFIX = "__multiprocessing_context"
"""Ends the name of a loader's private attribute with its context; torchdata's loader has one of its own beside torch's."""

_DEFAULT_PREFETCH_FACTOR = 2  # torch/utils/data/dataloader.py, with workers


def give_settings(loader: Any, config: TrialConfig) -> List[str]:
    """Changes a loader before its first iterator is made, past `DataLoader.__setattr__`, which refuses that.

    Args:
        loader: of the script.
        config: the setting; fields that are None keep the loader's own value where it means something.

    Returns:
        Sentences on what the script may have computed before from the loader's old values.

    Raises:
        AgentError: the loader cannot have this setting.
    """
    state: Dict[str, Any] = vars(loader)
    notes = _set_batch_size(loader, config)
    workers = config.num_workers
    own_prefetch = state.get("prefetch_factor") or _DEFAULT_PREFETCH_FACTOR
    state["num_workers"] = workers
    state["pin_memory"] = config.pin_memory
    state["prefetch_factor"] = (config.prefetch_factor or own_prefetch) if workers else None
    if not workers:
        state["persistent_workers"], state["timeout"] = False, 0
        _set_context(state, None)
        return notes
    if config.persistent_workers is not None:
        state["persistent_workers"] = config.persistent_workers
    if config.in_order is not None:
        if "in_order" in state:
            state["in_order"] = config.in_order
        elif not config.in_order:
            raise AgentError(UNSUPPORTED, "in_order=False needs torch 2.6 or newer")
    if config.backend == "thread":
        if loaders.dataset_kind(loader.dataset) == "iterable":
            raise AgentError(UNSUPPORTED, "threads cannot share an iterable dataset: each would need a copy of its own")
        from . import thread_loader

        return notes + thread_loader.use_threads(loader)
    if config.start_method is not None:
        if config.start_method not in multiprocessing.get_all_start_methods():
            raise AgentError(UNSUPPORTED, "this system cannot start workers with %s" % config.start_method)
        _set_context(state, multiprocessing.get_context(config.start_method))
    return notes


def _set_context(state: Dict[str, Any], context: Any) -> None:
    for name in [name for name in state if name.endswith(_CONTEXT_SUFFIX)]:
        state[name] = context


def _set_batch_size(loader: Any, config: TrialConfig) -> List[str]:
    """Replaces the batch sampler by one of the same class, torch's own, with another size."""
    from torch.utils.data import BatchSampler

    size, state = config.batch_size, vars(loader)
    if size is None or size == loaders.batch_size_of(loader):
        return []
    old = state["batch_sampler"]
    if type(old) is not BatchSampler:
        what = "a batch_sampler of its own" if old is not None else "batch_size=None"
        raise AgentError(UNSUPPORTED, "the loader has %s, so its batch size cannot be set" % what)
    state["batch_sampler"] = BatchSampler(old.sampler, size, old.drop_last)
    if state["batch_size"] is not None:
        state["batch_size"] = size
    return [
        "len(loader) follows the batch size of the trial; what the script computed from it before (a schedule, the length of a progress "
        "bar) does not."
    ]
