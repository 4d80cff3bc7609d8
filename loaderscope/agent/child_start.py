"""Entry of the agent in a Python that a watched script has started: `child_hook` calls it before any code of the user's runs."""

from __future__ import annotations

import os
import sys

from . import training_record
from .watched_children import watch_in_child

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes a child's Python some milliseconds
    from typing import Any


def start() -> None:
    """Makes this process wait for the app at the iter() of the DataLoader that is searched for, or records its loaders."""
    training_record.start()
    watch_in_child(
        lambda loader, search: _serve_module().serve_in_child(loader, search),
        lambda loader, search: _serve_module().look_in_child(loader, search),
    )


def _serve_module() -> "Any":
    path, standard = sys.path[:], os.path.dirname(os.path.abspath(os.__file__))
    sys.path[:] = [entry for entry in path if entry and os.path.abspath(entry).startswith(standard)]  # the user's files shadow none
    try:
        from . import serve
    finally:
        sys.path[:] = path
    return serve
