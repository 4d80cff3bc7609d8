"""Which start-up phase costs most on the way to the first batch, and what is behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loaderscope.analysis.main_import import heaviest_branch, heaviest_line
from loaderscope.analysis.quantities import bytes_text, share_text
from loaderscope.analysis.results import Culprit, ImportCost, LineCost, SentPart

DOMINATES = 0.5
"""Part of all that is sent from which one attribute is named."""


@dataclasses.dataclass(frozen=True)
class StartFacts:
    """What the first start of a trial consisted of, beside its phases.

    Attributes:
        worker: name of the process that made the first batch.
        starts_s: seconds of each `Process.start()`.
        pickled_bytes: the largest pickle that a worker was sent.
        imports, lines, own_s, serial_starts: see `Startup`.
        sent: what each worker is sent, where it was weighed.
    """

    worker: str
    starts_s: list[float]
    pickled_bytes: int | None
    imports: list[ImportCost]
    lines: list[LineCost]
    own_s: float | None
    serial_starts: bool | None
    sent: Sequence[SentPart] | None


def find_culprit(charged: dict[str, float], facts: StartFacts) -> Culprit | None:
    """The culprit among phases (with the seconds charged to each), with what is known about it in a few words."""
    if not charged:
        return None
    phase = max(charged, key=lambda name: charged[name])
    detail = _DETAILS[phase].format(worker=facts.worker.replace("-", " "))
    if phase == "start_worker" and len(facts.starts_s) > 1:
        detail = f"starting {len(facts.starts_s)} workers one after another, up to {max(facts.starts_s):.2f} s each"
        if facts.serial_starts:
            detail += ", because what each is sent does not fit into the pipe and waits until the worker has imported the script"
    if phase == "main_import":
        detail += _of_the_import(facts.imports, facts.lines)
    elif phase in ("pickle", "unpickle", "start_worker"):
        detail += _of_what_is_sent(facts.pickled_bytes, facts.sent)
    return Culprit(phase, detail, charged[phase])


_DETAILS = {
    "own": "Loaderscope's own probe in {worker}",
    "iterator": "making the loader's iterator in the main process",
    "server_start": "the forkserver starts, once",
    "start_worker": "starting the worker",
    "pickle": "the process objects are pickled",
    "create": "the operating system creates {worker}",
    "boot": "the interpreter of {worker} starts",
    "main_import": "{worker} imports the script again",
    "unpickle": "{worker} unpickles the dataset and what goes with it",
    "loop_entry": "{worker} gets from its start to its loop",
    "worker_init": "worker_init_fn in {worker}",
    "index_wait": "{worker} waits for the indices of its first batch",
    "first_fetch": "{worker} reads the samples of the first batch from the dataset",
    "first_collate": "{worker} collates the first batch",
    "first_send": "{worker} sends the first batch",
    "first_receive": "the first batch gets from {worker} into the hands of the main process",
}


def dominating_part(sent: Sequence[SentPart] | None) -> SentPart | None:
    """The attribute that makes up most of what is sent, if one does."""
    heaviest = max(sent or (), key=lambda part: part.bytes, default=None)
    if heaviest is None or not heaviest.bytes or heaviest.bytes < DOMINATES * sum(part.bytes for part in sent or ()):
        return None
    return heaviest


def _of_what_is_sent(pickled_bytes: int | None, sent: Sequence[SentPart] | None) -> str:
    text = f"; {bytes_text(pickled_bytes)} pickled for each" if pickled_bytes is not None and pickled_bytes > 0 else ""
    part = dominating_part(sent)
    if part is not None and text:
        share = part.bytes / max(sum(other.bytes for other in sent or ()), 1)
        text += f", {share_text(share)} of it {part.attribute} (a {part.type_name})"
    return text


def _of_the_import(imports: list[ImportCost], lines: list[LineCost]) -> str:
    branch, line = heaviest_branch(imports), heaviest_line(lines)
    line_s = line.seconds - line.import_s if line is not None else 0.0
    if line is not None and line_s > (branch[0].total_s if branch else 0.0):
        return f"; line {line.line} of it, {line.text}, takes {line_s:.2f} s without imports"
    if not branch:
        return ""
    inner = branch[-1]
    most = f", {inner.total_s:.2f} s of that {inner.name}" if len(branch) > 1 else ""
    return f"; the import of {branch[0].name} takes {branch[0].total_s:.2f} s of it{most}"
