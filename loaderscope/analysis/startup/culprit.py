"""Which start-up phase costs most on the way to the first batch, and what is behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loaderscope.analysis.epochs import MAIN
from loaderscope.analysis.startup.main_import import heaviest_branch, heaviest_line
from loaderscope.facts.phases import phase_of
from loaderscope.facts.results import Culprit, ImportCost, LineCost, SentPart
from loaderscope.facts.text import bytes_text, share_text

DOMINATES = 0.5
"""Part of all that is sent, or of the time for it, from which one attribute is named."""
TELLING_S = 0.05
TELLING_BYTES = 32_768
"""Half of what a pipe holds: of less than this, or in less time, no attribute is named."""
EXPLAINS = 0.2
"""Part of the time of unpickling that its weight must account for, which was taken without other workers starting beside it."""
OWN_CODE = ".__setstate__()"
"""How the attribute ends that stands for a class's own code in unpickling."""


@dataclasses.dataclass(frozen=True)
class StartFacts:
    """What the first start of a trial consisted of, beside its phases.

    Attributes:
        worker: name of the process that made the first batch.
        starts_s: seconds of each `Process.start()`.
        pickled_bytes: the largest pickle that a worker was sent.
        first_index_s: from the last start of a worker to the first indices that one is given; None with 0 workers.
        imports, lines, own_s, serial_starts: see `Startup`.
        sent: what each worker is sent, where it was weighed.
    """

    worker: str
    starts_s: list[float]
    pickled_bytes: int | None
    first_index_s: float | None
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
    detail = phase_of(phase).detail.format(worker=facts.worker.replace("-", " "))
    if phase == "index_wait" and facts.worker == MAIN:
        detail = "the sampler draws the indices of the first batch"
    if phase == "start_worker" and len(facts.starts_s) > 1:
        detail = f"starting {len(facts.starts_s)} workers one after another, up to {max(facts.starts_s):.2f} s each"
        if facts.serial_starts:
            detail += ", because what each is sent does not fit into the pipe and waits until the worker has imported the script"
    if phase == "main_import":
        detail += _of_the_import([cost for cost in facts.imports if cost.phase == phase], facts.lines)
    elif phase == "unpickle":
        detail += _of_the_unpickling(facts, charged[phase])
    elif phase in ("pickle", "start_worker"):
        detail += _of_what_is_sent(facts.pickled_bytes, facts.sent)
    elif phase == "iterator" and facts.first_index_s is not None and facts.first_index_s > 0.5 * charged[phase]:
        detail += f"; it waits {facts.first_index_s:.2f} s for the first indices of the sampler"
    return Culprit(phase, detail, charged[phase])


def dominating_part(sent: Sequence[SentPart] | None) -> SentPart | None:
    """The attribute that most of the time for what is sent goes into, if one does; else the one that makes up most of the bytes."""
    for weight, least in ((weighed_s, TELLING_S), (_bytes, TELLING_BYTES)):
        heaviest = max(sent or (), key=weight, default=None)
        if heaviest is not None and weight(heaviest) >= max(DOMINATES * sum(weight(part) for part in sent or ()), DOMINATES * least):
            return heaviest
    return None


def weighed_s(part: SentPart) -> float:
    """Seconds to pickle and to unpickle a part, as far as they are known."""
    return part.pickle_s + (part.unpickle_s or 0.0)


def _bytes(part: SentPart) -> float:
    return part.bytes


def own_code_s(seconds: float, imports: Sequence[ImportCost], sent: Sequence[SentPart] | None) -> float | None:
    """How much of `seconds` of unpickling goes into what classes do then; None unless it is clear that this takes most of it.

    Neither the imports of then nor what the data itself takes account for it.
    """
    imports_s = sum(cost.total_s for cost in imports if cost.phase == "unpickle" and cost.parent is None)
    if sent is None or any(part.unpickle_s is None and not part.attribute.endswith(OWN_CODE) for part in sent):
        return None
    left_s, data_s = seconds - imports_s, sum(part.unpickle_s or 0.0 for part in sent)
    return left_s - data_s if left_s >= DOMINATES * seconds and data_s < EXPLAINS * left_s else None


def own_code(sent: Sequence[SentPart] | None) -> str:
    """The code that runs when what is sent is unpickled, as far as it is known."""
    names = [part.attribute for part in sent or () if part.attribute.endswith(OWN_CODE)]
    return " and ".join(names) if names else "__setstate__ or __reduce__ of what is sent"


def _of_the_unpickling(facts: StartFacts, seconds: float) -> str:
    roots = [cost for cost in facts.imports if cost.phase == "unpickle" and cost.parent is None]
    if sum(cost.total_s for cost in roots) >= DOMINATES * seconds:
        branch = heaviest_branch([cost for cost in facts.imports if cost.phase == "unpickle"])
        needed = f"the import of {branch[0].name}, which that needs and the script does not import"
        return f"; {needed}, takes {branch[0].total_s:.2f} s of it{_most(branch)}"
    own_s = own_code_s(seconds, facts.imports, facts.sent)
    if own_s is not None:
        return f"; {own_s:.2f} s of it in code that runs then, {own_code(facts.sent)}"
    return _of_what_is_sent(facts.pickled_bytes, facts.sent)


def _of_what_is_sent(pickled_bytes: int | None, sent: Sequence[SentPart] | None) -> str:
    text = f"; {bytes_text(pickled_bytes)} pickled for each" if pickled_bytes is not None and pickled_bytes > 0 else ""
    part = dominating_part(sent)
    if part is None or not text:
        return text
    named = f"{part.attribute} (a {part.type_name})"
    if part.shared_bytes:
        return f"{text}, and {bytes_text(part.shared_bytes)} moved into shared memory first, once, for {named}"
    share = part.bytes / max(sum(other.bytes for other in sent or ()), 1)
    return f"{text}, {share_text(share)} of it {named}" if share >= DOMINATES else f"{text}, most of the time for {named}"


def _of_the_import(imports: list[ImportCost], lines: list[LineCost]) -> str:
    branch, line = heaviest_branch(imports), heaviest_line(lines)
    line_s = line.seconds - line.import_s if line is not None else 0.0
    if line is not None and line_s > (branch[0].total_s if branch else 0.0):
        return f"; line {line.line} of it, {line.text}, takes {line_s:.2f} s without imports"
    if not branch:
        return ""
    return f"; the import of {branch[0].name} takes {branch[0].total_s:.2f} s of it{_most(branch)}"


def _most(branch: list[ImportCost]) -> str:
    return f", {branch[-1].total_s:.2f} s of that {branch[-1].name}" if len(branch) > 1 else ""
