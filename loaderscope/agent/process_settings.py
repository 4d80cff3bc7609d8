"""Settings that hold for a whole process: torch's threads, and how it shares tensors with other processes."""

from __future__ import annotations

import contextlib
from typing import Iterator, Optional

from .error_sentences import UNSUPPORTED, AgentError
from .messages import TrialConfig


@contextlib.contextmanager
def applied(config: TrialConfig) -> Iterator[None]:
    """Main has a trial's settings within this context, and afterwards its own again. Forked workers inherit them.

    Raises:
        AgentError: this system cannot share tensors so.
    """
    import torch
    import torch.multiprocessing

    threads, strategy = torch.get_num_threads(), torch.multiprocessing.get_sharing_strategy()
    try:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        share_by(config.sharing_strategy)
        yield
    finally:
        if config.threads is not None:
            torch.set_num_threads(threads)
        torch.multiprocessing.set_sharing_strategy(strategy)


def share_by(strategy: Optional[str]) -> None:
    """Has this process share tensors so from now on; None leaves it as it is.

    Raises:
        AgentError: this system cannot.
    """
    import torch.multiprocessing

    if strategy is None:
        return
    if strategy not in torch.multiprocessing.get_all_sharing_strategies():
        raise AgentError(UNSUPPORTED, "this system cannot share tensors between processes by %s" % strategy)
    torch.multiprocessing.set_sharing_strategy(strategy)
