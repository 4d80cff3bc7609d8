"""Describes a loader of a recorded training for the app."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, Dict, Optional

from . import loaders, made_loaders
from .torch_environment import torch_environment
from .user_frames import callers, innermost_user_place

LOADER_FILE = "loader.json"
"""Describes a loader, in the folder of its logs: `describe` says what is in it."""


def describe(loader: Any, assumptions: Any, number_at_line: int) -> Dict[str, Any]:
    """Returns what the app shows of a loader: where it is made and iterated, its class, its length in batches, and its settings.

    Args:
        loader: the loader.
        assumptions: sentences about functions of this torch that differ from the checked ones.
        number_at_line: how many loaders that the same line made are recorded already, apart from it.
    """
    call = made_loaders.constructor_call_of(loader)
    iterated = innermost_user_place(callers(sys._getframe(1)))
    made = call.place if call is not None else None
    is_map = loaders.dataset_kind(loader.dataset) == "map"  # after len() of another loader torch warns where its data end early
    return {
        "pid": os.getpid(),
        "environment": torch_environment(assumptions),
        "made": None if made is None else "%s:%d" % (made.file, made.line or 0),
        "number_at_line": number_at_line,
        "iterated": None if iterated is None else "%s:%d" % (iterated.file, iterated.line or 0),
        "in_main_thread": threading.current_thread() is threading.main_thread(),
        "reads_ahead": made_loaders.iterates_its_own_way(loader),
        "class": type(loader).__name__,
        "dataset": type(loader.dataset).__name__,
        "length": _length(loader) if is_map else None,
        "samples": _length(loader.dataset) if is_map else None,
        "config": loaders.current_config(loader).to_json(),
    }


def _length(sized: Any) -> Optional[int]:
    try:
        return len(sized)
    except Exception:  # whatever the user's own `__len__` raises
        return None


def write(log_dir: str, content: Dict[str, Any]) -> None:
    """Writes the description of a loader into the folder of its logs; it may replace an earlier one.

    Raises:
        OSError: it cannot be written.
    """
    path = os.path.join(log_dir, LOADER_FILE)
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(path + ".part", path)
