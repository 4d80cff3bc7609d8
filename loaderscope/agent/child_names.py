"""Names of the processes that the script started through multiprocessing, such as the server of a Manager."""

from __future__ import annotations

import multiprocessing.process
from typing import Dict


def names_of_children() -> Dict[str, str]:
    """Returns the names by pid, in text, of this process's children.

    `multiprocessing.active_children` would also wait for those that have ended, which is up to the script.
    """
    children = list(getattr(multiprocessing.process, "_children", ()))  # CPython 3.9 to 3.14: Lib/multiprocessing/process.py
    return {str(child.pid): str(child.name) for child in children if child.pid is not None}
