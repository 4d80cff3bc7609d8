"""Which files of the working folder a trial has written or removed: perhaps each trial of the training does so."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator

from loaderscope.sweep.processes.temporary_folders import PREFIX

SESSION_SUFFIX = ".loaderscope"
MOST_FILES = 50_000
LONGEST_S = 2.0
"""A look at a folder that has more files, or takes longer, is given up: it would cost more than it shows."""
MOST_NAMED = 5
"""So many of the files a sentence names."""

_LEFT_OUT = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
_ENVIRONMENT_FILE = "pyvenv.cfg"
"""A folder that has it is a virtual environment."""


@dataclasses.dataclass(frozen=True)
class FolderState:
    """The files below a folder. `files`: size and time of the last change (ns) by path; None if the look was given up."""

    folder: str
    files: dict[str, tuple[int, int]] | None


def look_at(folder: str) -> FolderState:
    """Looks at all files below a folder, without those of version control, caches, virtual environments and our own runs."""
    files: dict[str, tuple[int, int]] = {}
    deadline_s = time.monotonic() + LONGEST_S
    for path in _files(folder):
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:  # removed meanwhile
            continue
        files[os.path.relpath(path, folder)] = status.st_size, status.st_mtime_ns
        if len(files) > MOST_FILES or time.monotonic() > deadline_s:
            return FolderState(folder, None)
    return FolderState(folder, files)


def changed_files(before: FolderState, after: FolderState) -> list[str] | None:
    """Returns the files that are new, differ or are gone, sorted; None where a look was given up."""
    if before.files is None or after.files is None:
        return None
    # a training that keeps its newest checkpoints only removes the user's older ones
    return sorted(path for path in before.files.keys() | after.files.keys() if before.files.get(path) != after.files.get(path))


def _files(folder: str) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_left_out(name) and not _is_environment(os.path.join(where, name))]
        for name in files:
            if SESSION_SUFFIX not in name:  # ours, with the files that SQLite keeps beside it
                yield os.path.join(where, name)


def _is_left_out(folder_name: str) -> bool:
    return folder_name in _LEFT_OUT or folder_name.startswith(PREFIX)  # ours, where TMPDIR lies within the folder


def _is_environment(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, _ENVIRONMENT_FILE))
