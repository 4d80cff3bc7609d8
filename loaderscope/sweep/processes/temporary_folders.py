"""Temporary folders: of agents, trials and controls, all within one folder of this process."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PREFIX = "loaderscope-run-"
_OWNER = "owner.json"


def base_folder() -> Path:
    """Where temporary folders go; never shared memory, which is what the workers of a loader use up."""
    folder = Path(tempfile.gettempdir())
    if folder.is_relative_to("/dev/shm"):
        folder = next((other for other in (Path("/var/tmp"), Path.home()) if os.access(other, os.W_OK)), folder)
    return folder


class _ProcessFolder:
    """The one folder of this process, there while anything in it is used.

    One for all: an agent that is left alone because this process was killed removes it with all that others have put there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._used: set[Path] = set()
        self._taken = 0

    def take(self) -> Path:
        with self._lock:
            if self._path is None:
                base = base_folder()
                remove_leftovers(base)
                self._path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
                claim(self._path)
            folder = self._path / f"{self._taken}"  # short: the path of a socket in it must not be long
            folder.mkdir()
            self._taken += 1
            self._used.add(folder)
            return folder

    def give_back(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            self._used.discard(folder)
            if not self._used and self._path is not None:
                shutil.rmtree(self._path, ignore_errors=True)
                self._path = None


_process_folder = _ProcessFolder()


def take_folder() -> Path:
    """A new temporary folder; `give_back` removes it, and if this process can no longer, its agents or a later run do."""
    return _process_folder.take()


def give_back(folder: Path) -> None:
    """Removes a folder that `take_folder` gave."""
    _process_folder.give_back(folder)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is there within the context."""
    folder = take_folder()
    try:
        yield folder
    finally:
        give_back(folder)


def claim(folder: Path) -> None:
    """Notes in a folder that it is this process's."""
    owner = {"pid": os.getpid(), "created": psutil.Process().create_time()}
    (folder / _OWNER).write_text(json.dumps(owner), encoding="utf-8")


def abandoned(base: Path, prefix: str) -> list[Path]:
    """Folders whose names begin so and whose app has ended without removing them."""
    return [folder for folder in base.glob(prefix + "*") if _owner_is_gone(folder)]


def remove_leftovers(base: Path) -> int:
    """Removes the folders of processes that have ended without doing so themselves; how many."""
    folders = abandoned(base, PREFIX)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders)


def _owner_is_gone(folder: Path) -> bool:
    """False also where that cannot be told: the folder may be another user's, or just being made."""
    try:
        owner = json.loads((folder / _OWNER).read_text(encoding="utf-8"))
        process = psutil.Process(int(owner["pid"]))
        return abs(float(process.create_time()) - float(owner["created"])) > 1.0
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
