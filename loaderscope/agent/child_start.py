"""How the agent comes into a Python that a watched script has started: called by `child_hook` before anything of the user's runs."""

from __future__ import annotations

import os
import sys

from .watched_children import WantedLoader, enter_child

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes a child's Python some milliseconds
    from typing import Any


def start() -> None:
    """From now on this process stands still at the wanted loader's iter()."""
    enter_child(_serve)


def _serve(loader: "Any", look: WantedLoader) -> None:
    path, standard = sys.path[:], os.path.dirname(os.path.abspath(os.__file__))
    sys.path[:] = [entry for entry in path if entry and os.path.abspath(entry).startswith(standard)]  # no file of the user's shadows it
    try:
        from . import serve
    finally:
        sys.path[:] = path
    serve.serve_in_child(loader, look)
