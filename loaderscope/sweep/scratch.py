"""The temporary folder of a run, with one folder of event logs a trial."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import psutil

PREFIX = "loaderscope-run-"
_OWNER = "owner.json"


def base_folder() -> Path:
    """Where temporary folders go; never shared memory, which is what the workers of a loader use up."""
    folder = Path(tempfile.gettempdir())
    if folder.is_relative_to("/dev/shm"):
        folder = next((other for other in (Path("/var/tmp"), Path.home()) if os.access(other, os.W_OK)), folder)
    return folder


def make_folder(base: Path | None = None) -> Path:
    """A new temporary folder of this process; a later run removes it if this process no longer can."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base or base_folder()))
    claim(folder)
    return folder


class Scratch:
    """A context that makes the folder and removes it."""

    def __init__(self, base: Path | None = None) -> None:
        self._base = base or base_folder()
        self.path = Path()

    def __enter__(self) -> Scratch:
        remove_leftovers(self._base)
        self.path = make_folder(self._base)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def trial_folder(self, trial: int) -> Path:
        """A fresh folder for one trial's logs."""
        folder = self.path / f"trial-{trial:04d}"
        folder.mkdir()
        return folder

    def remove_trial_folder(self, trial: int) -> None:
        shutil.rmtree(self.path / f"trial-{trial:04d}", ignore_errors=True)


def claim(folder: Path) -> None:
    """Notes in a folder that it is this process's."""
    owner = {"pid": os.getpid(), "created": psutil.Process().create_time()}
    (folder / _OWNER).write_text(json.dumps(owner), encoding="utf-8")


def abandoned(base: Path, prefix: str) -> list[Path]:
    """Folders whose names begin so and whose app has ended without removing them."""
    return [folder for folder in base.glob(prefix + "*") if _owner_is_gone(folder)]


def remove_leftovers(base: Path) -> int:
    """Removes the folders of runs whose app has ended without doing so itself; how many."""
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
