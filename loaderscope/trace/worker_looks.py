"""What workers of a probe trial saw of their dataset, as they write it down (`agent/worker_look.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from loaderscope.agent.layout import LOOKS_SUFFIX
from loaderscope.agent.ranges import Count, TimeNs
from loaderscope.facts.probed_workers import ChangedAttribute, UsedGenerator


class WorkerLook(msgspec.Struct, frozen=True):
    """An epoch of a worker.

    Attributes:
        init: "file:line" of the `worker_init_fn`; None if there is none.
        hashes: of the first samples of an iterable dataset; None for another one, and where samples cannot be compared.
        error: why there is nothing else.
    """

    worker: Count
    begin_ns: TimeNs = 0
    end_ns: TimeNs = 0
    batches: Count = 0
    samples: Count = 0
    init: str | None = None
    hashes: list[str] | None = None
    generators: list[UsedGenerator] = []
    attributes: list[ChangedAttribute] = []
    error: Annotated[str, msgspec.Meta(max_length=1000)] | None = None


def read_looks(log_dir: Path) -> list[WorkerLook]:
    """Returns the looks that the workers of a trial have written, in order of time; lines that are no looks are left out."""
    decoder, looks = msgspec.json.Decoder(WorkerLook), []
    for path in sorted(log_dir.glob(f"*{LOOKS_SUFFIX}")):
        for line in path.read_bytes().splitlines():
            try:
                looks.append(decoder.decode(line))
            except msgspec.MsgspecError:  # the worker died while it wrote
                continue
    return sorted(looks, key=lambda look: look.begin_ns)
