"""Facts about this process's Python and torch."""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any, Dict, Optional

from . import loaders


def torch_environment(assumptions: Any) -> Dict[str, Any]:
    """Returns facts about Python and torch for the JSON document.

    Args:
        assumptions: sentences about functions of this torch that are missing or differ from the checked ones.
    """
    import torch
    import torch.multiprocessing

    gil = getattr(sys, "_is_gil_enabled", None)
    return {
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "torch_cuda": torch.version.cuda,
        "accelerator": _has_accelerator(),
        "start_methods": multiprocessing.get_all_start_methods(),
        "sharing_strategies": sorted(torch.multiprocessing.get_all_sharing_strategies()),
        "default_start_method": loaders.default_start_method(),
        "free_threaded": gil is not None and not gil(),
        "torch_assumptions": list(assumptions),
    }


def _has_accelerator() -> Optional[bool]:
    """Whether torch has an accelerator; None if asking could start one, which workers that are forked later could then not use."""
    import torch

    accelerator = getattr(torch, "accelerator", None)  # torch 2.6 and newer
    if accelerator is not None and hasattr(torch, torch.device("privateuseone").type):  # an extension has registered its device
        return bool(accelerator.is_available())
    return False if str(torch.__version__).endswith("+cpu") else None
