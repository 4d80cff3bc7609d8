"""Temporary folders of agents, trials and controls, all within one folder of this process."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

PREFIX = "loaderscope-run-"
_OWNER = "owner.json"


@dataclasses.dataclass(frozen=True)
class _Owner:
    """The process that owns a folder, by its number and the time when it began, in seconds since 1970."""

    pid: int
    created: float


def base_folder() -> Path:
    """The folder for temporary folders; never in shared memory, which the workers of a loader need."""
    folder = Path(tempfile.gettempdir())
    if folder.is_relative_to("/dev/shm"):
        folder = next((other for other in (Path("/var/tmp"), Path.home()) if os.access(other, os.W_OK)), folder)
    return folder


class _ProcessFolder:
    """The one folder of this process; it exists while anything in it is used.

    One folder holds everything so that an agent can remove all of it after this process was killed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._used: set[Path] = set()
        self._next_number = 0

    def create(self) -> Path:
        with self._lock:
            if self._path is None:
                base = base_folder()
                remove_leftovers(base)
                self._path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
                claim(self._path)
            folder = self._path / f"{self._next_number}"  # short: the path of a socket in it must not be long
            folder.mkdir()
            self._next_number += 1
            self._used.add(folder)
            return folder

    def remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            self._used.discard(folder)
            if not self._used and self._path is not None:
                shutil.rmtree(self._path, ignore_errors=True)
                self._path = None


_process_folder = _ProcessFolder()


def create_folder() -> Path:
    """Makes a temporary folder. Remove it by `remove_folder`; if this process is killed before, its agents or a later run remove it."""
    return _process_folder.create()


def remove_folder(folder: Path) -> None:
    """Removes a folder that `create_folder` made."""
    _process_folder.remove(folder)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A temporary folder that exists within the context."""
    folder = create_folder()
    try:
        yield folder
    finally:
        remove_folder(folder)


def claim(folder: Path) -> None:
    """Writes into a folder that this process owns it."""
    (folder / _OWNER).write_bytes(msgspec.json.encode(_Owner(os.getpid(), psutil.Process().create_time())))


def abandoned(base: Path, prefix: str) -> list[Path]:
    """Folders in `base` whose names begin with `prefix` and whose owner has ended without removing them."""
    return [folder for folder in base.glob(prefix + "*") if _owner_is_gone(folder)]


def remove_leftovers(base: Path) -> int:
    """Removes the folders that ended processes have left behind, and returns their number."""
    folders = abandoned(base, PREFIX)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders)


def _owner_is_gone(folder: Path) -> bool:
    """Whether the owner of a folder has ended; False if that is unknown: another user or another process may just be making it."""
    try:
        owner = msgspec.json.decode((folder / _OWNER).read_bytes(), type=_Owner)
        return bool(abs(psutil.Process(owner.pid).create_time() - owner.created) > 1.0)
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, psutil.Error):
        return False
