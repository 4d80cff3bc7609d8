"""The Python stacks that processes leave behind when they make no progress."""

from __future__ import annotations

import pathlib

from loaderscope.agent.layout import STACKS_SUFFIX, Header
from loaderscope.trace.log_segments import Chain

MAX_BYTES = 1 << 20
"""Of one process's text; a process that hangs for long dumps the same again and again."""


def stacks(log_dir: str | pathlib.Path) -> str:
    """The text of all stack files of a trial, each under a line that names its process; "" where there is none."""
    folder, parts = pathlib.Path(log_dir), []
    for path in sorted(folder.glob(f"*{STACKS_SUFFIX}")):
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8", "replace").strip()
        if text:
            parts.append(f"{_title(folder, path.name[: -len(STACKS_SUFFIX)])}:\n{text}")
    return "\n\n".join(parts)


def _title(folder: pathlib.Path, stem: str) -> str:
    chain = Chain(folder, stem)
    chain.read_header()
    chain.close()
    worker = chain.header.get(Header.WORKER)
    name = f"worker-{worker}" if isinstance(worker, int) else str(chain.header.get(Header.ROLE, "process"))
    return f"{name} (pid {stem.partition('-')[0]})"
