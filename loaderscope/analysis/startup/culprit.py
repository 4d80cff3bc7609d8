"""Finds the start-up phase that costs most before the first batch, and its cause."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loaderscope.analysis.epochs import MAIN
from loaderscope.analysis.startup.main_import import heaviest_branch, heaviest_line
from loaderscope.facts.phases import phase_of
from loaderscope.facts.startup_results import Culprit, ImportCost, LineCost, SentPart
from loaderscope.facts.text import bytes_text, share_text

DOMINANT_SHARE = 0.5
"""An attribute is named if it takes at least this share of the sent bytes, or of the time to pickle and unpickle them."""
MIN_NAMED_S = 0.05
MIN_NAMED_BYTES = 32_768
"""Half of what a pipe holds: with fewer bytes and less time no attribute is named."""
MIN_EXPLAINED_SHARE = 0.2
"""Share of the unpickling that a weighed attribute must explain; it was weighed while no other workers started."""
CODE_SUFFIX = ".__setstate__()"
"""Suffix of an attribute that stands for a class's own code in unpickling."""


@dataclasses.dataclass(frozen=True)
class StartFacts:
    """Facts about the first start of a trial, beside its phases.

    Attributes:
        worker: name of the process that made the first batch.
        starts_s: seconds of each `Process.start()`.
        pickled_bytes: size of the largest pickle sent to a worker.
        first_index_s: seconds from the last start of a worker until main sends the first indices; None with 0 workers.
        imports, lines, own_s, serial_starts: see `Startup`.
        sent: what each worker is sent, if it was weighed.
        first_state_s: seconds of `iter()` in which main waits for its workers' first state.
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
    first_state_s: float = 0.0


def find_culprit(charged: dict[str, float], facts: StartFacts) -> Culprit | None:
    """Returns the phase with the most charged seconds, with its cause in a few words; None without phases."""
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
        detail += _import_detail([cost for cost in facts.imports if cost.phase == phase], facts.lines)
    elif phase == "unpickle":
        detail += _unpickling_detail(facts, charged[phase])
    elif phase in ("pickle", "start_worker"):
        detail += _sent_detail(facts.pickled_bytes, facts.sent)
    elif phase == "iterator" and facts.first_state_s > 0.5 * charged[phase]:
        detail += f"; it waits {facts.first_state_s:.2f} s for the first state of its workers (StatefulDataLoader asks each for it)"
    elif phase == "iterator" and facts.first_index_s is not None and facts.first_index_s > 0.5 * charged[phase]:
        detail += f"; it waits {facts.first_index_s:.2f} s for the first indices of the sampler"
    return Culprit(phase, detail, charged[phase])


def dominating_part(sent: Sequence[SentPart] | None) -> SentPart | None:
    """Returns the attribute that takes most of the time to pickle and unpickle; else the one with most of the bytes; else None."""
    for weigh, least in ((pickling_s, MIN_NAMED_S), (_bytes, MIN_NAMED_BYTES)):
        heaviest = max(sent or (), key=weigh, default=None)
        if heaviest is not None and weigh(heaviest) >= max(
            DOMINANT_SHARE * sum(weigh(part) for part in sent or ()), DOMINANT_SHARE * least
        ):
            return heaviest
    return None


def pickling_s(part: SentPart) -> float:
    """Returns the seconds to pickle and unpickle a part; unknown unpickling counts as 0."""
    return part.pickle_s + (part.unpickle_s or 0.0)


def _bytes(part: SentPart) -> float:
    return part.bytes


def unpickling_code_s(seconds: float, imports: Sequence[ImportCost], sent: Sequence[SentPart] | None) -> float | None:
    """Returns the seconds of unpickling that classes' own code takes; None unless it clearly takes most of `seconds`.

    These seconds remain after subtracting the imports during unpickling and the time that the data itself takes.
    """
    imports_s = sum(cost.total_s for cost in imports if cost.phase == "unpickle" and cost.parent is None)
    if sent is None or any(part.unpickle_s is None and not part.attribute.endswith(CODE_SUFFIX) for part in sent):
        return None
    left_s, data_s = seconds - imports_s, sum(part.unpickle_s or 0.0 for part in sent)
    return left_s - data_s if left_s >= DOMINANT_SHARE * seconds and data_s < MIN_EXPLAINED_SHARE * left_s else None


def unpickling_code_names(sent: Sequence[SentPart] | None) -> str:
    """Returns the names of the classes' code that runs in unpickling."""
    names = [part.attribute for part in sent or () if part.attribute.endswith(CODE_SUFFIX)]
    return " and ".join(names) if names else "__setstate__ or __reduce__ of what is sent"


def _unpickling_detail(facts: StartFacts, seconds: float) -> str:
    roots = [cost for cost in facts.imports if cost.phase == "unpickle" and cost.parent is None]
    if sum(cost.total_s for cost in roots) >= DOMINANT_SHARE * seconds:
        branch = heaviest_branch([cost for cost in facts.imports if cost.phase == "unpickle"])
        needed = f"the import of {branch[0].name}, which that needs and the script does not import"
        return f"; {needed}, takes {branch[0].total_s:.2f} s of it{_inner_import_detail(branch)}"
    own_s = unpickling_code_s(seconds, facts.imports, facts.sent)
    if own_s is not None:
        return f"; {own_s:.2f} s of it in code that runs then, {unpickling_code_names(facts.sent)}"
    return _sent_detail(facts.pickled_bytes, facts.sent)


def _sent_detail(pickled_bytes: int | None, sent: Sequence[SentPart] | None) -> str:
    text = f"; {bytes_text(pickled_bytes)} pickled for each" if pickled_bytes is not None and pickled_bytes > 0 else ""
    part = dominating_part(sent)
    if part is None or not text:
        return text
    named = f"{part.attribute} (a {part.type_name})"
    if part.shared_bytes:
        return f"{text}, and {bytes_text(part.shared_bytes)} moved into shared memory first, once, for {named}"
    share = part.bytes / max(sum(other.bytes for other in sent or ()), 1)
    return f"{text}, {share_text(share)} of it {named}" if share >= DOMINANT_SHARE else f"{text}, most of the time for {named}"


def _import_detail(imports: list[ImportCost], lines: list[LineCost]) -> str:
    branch, line = heaviest_branch(imports), heaviest_line(lines)
    line_s = line.seconds - line.import_s if line is not None else 0.0
    if line is not None and line_s > (branch[0].total_s if branch else 0.0):
        return f"; line {line.line} of it, {line.text}, takes {line_s:.2f} s without imports"
    if not branch:
        return ""
    return f"; the import of {branch[0].name} takes {branch[0].total_s:.2f} s of it{_inner_import_detail(branch)}"


def _inner_import_detail(branch: list[ImportCost]) -> str:
    return f", {branch[-1].total_s:.2f} s of that {branch[-1].name}" if len(branch) > 1 else ""
