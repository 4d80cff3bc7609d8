"""A loader of a recorded training: its trial, its trace, and the reader of its logs."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from loaderscope.agent.layout import Role
from loaderscope.agent.loader_description import LOADER_FILE
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.recorded_training import wait_seconds
from loaderscope.facts.recorded_use import LoaderUse, loader_name
from loaderscope.facts.run import PlannedTrial
from loaderscope.trace.model import Trace
from loaderscope.trace.reader import TraceReader


class RecordedLoader:
    """A loader of the training.

    Attributes:
        folder: of its logs.
        description: what the agent says of it, see `agent/loader_description.py`.
        trial: its id is the number of the loader among those that are shown, once it is.
        is_shown: whether the sink has got its trial.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the description of a loader.

        Raises:
            OSError: it cannot be read.
        """
        self.folder = folder
        self.description = _read_description(folder)
        self.trial = PlannedTrial(0, 0, TrialConfig.from_json(self.description["config"]), loader=self.name)
        self.trace = Trace()
        self.reader = TraceReader(folder, self.trace, self.trial.config.num_workers, deletes_read=True)
        self.is_shown = False

    @property
    def pid(self) -> int:
        return int(self.description["pid"])

    @property
    def name(self) -> str:
        of = self.description
        return loader_name(of["made"], of["iterated"], of["class"], of["number_at_line"])

    def read_description(self) -> None:
        """Reads the description again, which changes once another thread than the main thread iterates the loader."""
        with contextlib.suppress(OSError, ValueError):
            self.description = _read_description(self.folder)

    def use(self, training_s: float, exit_status: int | None, recorded_s: float | None) -> LoaderUse:
        """Returns what the training spent on the loader."""
        return LoaderUse(
            made=self.description["made"],
            iterated=self.description["iterated"],
            class_name=self.description["class"],
            dataset=self.description["dataset"],
            length=self.description["length"],
            pid=self.pid,
            wait_s=wait_seconds(self.trace, self.description["reads_ahead"]) if self.description["in_main_thread"] else None,
            training_s=training_s,
            exit_status=exit_status,
            recorded_s=recorded_s,
            number_at_line=self.description["number_at_line"],
        )


def _read_description(folder: Path) -> dict[str, Any]:
    description: dict[str, Any] = json.loads((folder / LOADER_FILE).read_text(encoding="utf-8"))
    return description


def named_processes(loaders: list[RecordedLoader], script_pid: int) -> list[tuple[str, int]]:
    """Returns name and pid of the processes that live, each once; two processes never have the same name.

    The workers of the first loader have plain names (`worker-0`), those of others name their loader (`worker-0 (train.py:87)`).
    """
    names: dict[int, str] = {script_pid: Role.MAIN}
    used: set[str] = set()
    for number, loader in enumerate(loaders):
        label = loader.name if loader.name not in used else f"{loader.name}, loader {number}"
        used.add(label)
        for process in list(loader.trace.processes):
            if process.ended_ns is not None:
                continue
            if process.name == Role.MAIN:
                names.setdefault(process.pid, f"{Role.MAIN} (process {process.pid})")
            else:
                is_first = loader.is_shown and loader.trial.id == 0
                names.setdefault(process.pid, process.name if is_first else f"{process.name} ({label})")
    return [(name, pid) for pid, name in names.items()]
