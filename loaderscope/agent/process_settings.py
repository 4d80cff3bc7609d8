"""Settings that hold for a whole process: how many threads torch uses, and how it shares tensors with other processes."""

from __future__ import annotations

import contextlib
from typing import Iterator, Optional

from .error_sentences import UNSUPPORTED, AgentError
from .messages import TrialConfig


@contextlib.contextmanager
def applied(config: TrialConfig) -> Iterator[None]:
    """Gives the main process a trial's settings within this context, and its own again afterwards. Forked workers inherit them.

    Raises:
        AgentError: this system does not know the sharing strategy.
    """
    import torch
    import torch.multiprocessing

    threads, strategy = torch.get_num_threads(), torch.multiprocessing.get_sharing_strategy()
    try:
        apply(config)
        yield
    finally:
        if config.threads is not None:
            torch.set_num_threads(threads)
        torch.multiprocessing.set_sharing_strategy(strategy)


def apply(config: TrialConfig) -> None:
    """Gives this process a trial's settings for good.

    Raises:
        AgentError: this system does not know the sharing strategy.
    """
    import torch

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    set_sharing_strategy(config.sharing_strategy)


def set_sharing_strategy(strategy: Optional[str]) -> None:
    """Sets how this process shares tensors from now on; None leaves it as it is.

    Raises:
        AgentError: this system does not know the strategy.
    """
    import torch.multiprocessing

    if strategy is None:
        return
    if strategy not in torch.multiprocessing.get_all_sharing_strategies():
        raise AgentError(UNSUPPORTED, "this system cannot share tensors between processes by %s" % strategy)
    torch.multiprocessing.set_sharing_strategy(strategy)
