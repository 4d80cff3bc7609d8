"""What the start-up views say in a sentence above what they draw, for the window and the report."""

from __future__ import annotations

from collections.abc import Sequence

from loaderscope.analysis.findings.startup_causes import LINE_REMEDY, MIN_LINE_S, remedy
from loaderscope.analysis.startup.culprit import dominating_part
from loaderscope.analysis.startup.experiment import BreakEven, Remedy, StartCost, StartupExperiment
from loaderscope.analysis.startup.main_import import heaviest_line
from loaderscope.facts.remedies import control_title, remedy_kind, start_title
from loaderscope.facts.results import Control, SentPart, TrialResult
from loaderscope.facts.text import bytes_text, duration_text, enumerated, grouped_text, share_text

PIPE_BYTES = 65_536
"""What is not larger than a pipe needs no remedy."""


def batches_text(count: int) -> str:
    """1 batch, 1 200 batches."""
    return "1 batch" if count == 1 else f"{grouped_text(count)} batches"


def start_name(cost: StartCost | BreakEven) -> str:
    """How workers are made: spawn, or forkserver, preloaded."""
    return start_title(cost.start_method, bool(cost.preload))


def control_name(control: Control) -> str:
    """What a control did."""
    return control_title(control.name, control.modules)


def remedy_title(remedy: Remedy) -> str:
    """A remedy and where it was tried, in a few words: persistent, 2 × spawn, 3 epochs."""
    against = remedy.against
    counted = ", with server" if remedy.with_server else f", {remedy.over_epochs} epochs" if remedy.over_epochs > 1 else ""
    return f"{remedy_kind(remedy.name).word}, {against.num_workers} × {against.start_method}{counted}"


def remedy_verdict(remedy: Remedy) -> str:
    """Whether the prediction came true, and by how much it missed."""
    if remedy.predicted_s is None or remedy.measured_s is None:
        return "not measured" if remedy.measured_s is None else "no prediction"
    apart = remedy.measured_s - remedy.predicted_s
    if remedy.agrees:
        return f"agrees, {duration_text(abs(apart))} apart"
    size = f"{duration_text(abs(apart))} {'more' if apart > 0 else 'less'}"
    return f"{size}, noise" if abs(apart) <= (remedy.noise_s or 0.0) else f"{size} than predicted"


def slowest_start(results: Sequence[TrialResult]) -> TrialResult | None:
    """The trial whose first batch came last."""
    told = [result for result in results if result.startup is not None and result.first_batch_s is not None]
    return max(told, key=lambda result: result.first_batch_s or 0.0, default=None)


def culprit_sentence(result: TrialResult | None) -> str:
    """What most of the time to the first batch goes into, how much is explained, and the tool's own part."""
    if result is None or result.startup is None:
        return ""
    startup = result.startup
    parts = [f"Trial {result.id}: first batch after {duration_text(result.first_batch_s)}"]
    if startup.culprit is not None:
        parts[0] += f"; the longest part, {duration_text(startup.culprit.seconds)}: {startup.culprit.detail}"
    if startup.explained_share is not None:
        parts.append(f"{share_text(startup.explained_share)} explained")
    if startup.own_s is not None:
        parts.append(f"{duration_text(startup.own_s)} of it Loaderscope's own")
    return ". ".join((parts[0], "; ".join(parts[1:]))) + "." if len(parts) > 1 else parts[0] + "."


def sent_sentence(sent: Sequence[SentPart] | None) -> str:
    """How much each worker is sent, and the remedy where one attribute dominates."""
    if sent is None:
        return ""
    refused = next((part for part in sent if part.refused), None)
    if refused is not None:
        return f"{refused.error}."
    total, is_whole = sum(part.bytes for part in sent), not any(part.error for part in sent)
    size = bytes_text(total) if is_whole else f"more than {bytes_text(total)}"
    text = f"Each spawned worker is sent {size}: {duration_text(sum(part.pickle_s for part in sent))} to pickle"
    if all(part.unpickle_s is not None for part in sent if part.bytes):
        text += f", {duration_text(sum(part.unpickle_s or 0.0 for part in sent))} to unpickle"
    part = dominating_part(sent)
    if part is not None and part.shared_bytes:
        moved = f"{bytes_text(part.shared_bytes)} of {part.attribute} (a {part.type_name}) are moved into shared memory before, once"
        return f"{text}. {moved}. {remedy(part)}"
    if part is None or part.bytes < PIPE_BYTES:
        return f"{text}."
    text += f". {share_text(part.bytes / total)} of it is {part.attribute} (a {part.type_name}). {remedy(part)}"
    return text if part.error is None else f"{text} {part.error}"


def imports_sentence(result: TrialResult | None) -> str:
    """What importing the script again took the first worker."""
    if result is None or result.startup is None or not result.startup.imports:
        return ""
    roots = sorted((cost for cost in result.startup.imports if cost.parent is None), key=lambda cost: -cost.total_s)
    named = enumerated([f"{cost.name} {duration_text(cost.total_s)}" for cost in roots[:3]])
    whole = duration_text(sum(cost.total_s for cost in roots))
    text = f"Trial {result.id}: the worker of the first batch spent {whole} on imports: {named}."
    line = heaviest_line(result.startup.lines)
    line_s = 0.0 if line is None else line.seconds - line.import_s
    return (
        f"{text} Line {line.line} of the script took {duration_text(line_s)} besides."
        if line is not None and line_s >= MIN_LINE_S
        else text
    )


def lines_sentence(result: TrialResult | None) -> str:
    """Which line of the script's own top level took longest."""
    line = heaviest_line(result.startup.lines) if result is not None and result.startup is not None else None
    if line is None or result is None:
        return ""
    own = duration_text(line.seconds - line.import_s)
    text = (
        f"Trial {result.id}: every worker runs the script's top level again; its costliest line besides imports is {line.line}, with {own}."
    )
    return f"{text} {LINE_REMEDY}" if line.seconds - line.import_s >= MIN_LINE_S else text


def per_worker_sentence(experiment: StartupExperiment) -> str:
    """The straight lines through the starts, in words."""
    texts = []
    for row in experiment.per_worker:
        name = row.start_method + (", preloaded," if row.preload else "")
        if row.seconds_per_worker is not None and row.fixed_s is not None and row.seconds_per_worker > 0:
            fixed = f"{duration_text(row.fixed_s)} + " if row.fixed_s > 0 else ""
            texts.append(f"{name} {fixed}{duration_text(row.seconds_per_worker)} a worker")
        else:
            same = "" if row.seconds_per_worker is None else " and no more for further workers"
            texts.append(f"{name} {duration_text(row.one_worker_s)}{same}")
    return f"A start takes: {'; '.join(texts)}." if texts else ""


def persistent_sentence(experiment: StartupExperiment) -> str:
    """What persistent workers save over the user's epochs."""
    saving = [remedy for remedy in experiment.remedies if remedy.name == "persistent_workers" and (remedy.per_epoch_s or 0.0) > 0]
    if not saving:
        return ""
    most = max(saving, key=lambda remedy: remedy.per_epoch_s or 0.0)
    whole = duration_text((most.per_epoch_s or 0.0) * (experiment.train_epochs - 1))
    workers = f"{most.against.num_workers} × {most.against.start_method}"
    return f"Persistent workers save {duration_text(most.per_epoch_s)} an epoch ({workers}), {whole} over {experiment.train_epochs} epochs."


def break_even_sentence(experiment: StartupExperiment) -> str:
    """How long an epoch must be for workers to pay: of persistent ones, where most do."""
    rows = [row for row in experiment.break_even if row.batches is not None]
    if not rows:
        return "" if not experiment.break_even else "No workers that were tried are quicker than none, however long an epoch is."
    first = min(rows, key=lambda row: row.epoch_s or 0.0)
    return f"{first.text} That is the earliest; what is done to the batches, as a training step, is not counted."


def remedies_sentence(experiment: StartupExperiment) -> str:
    """How many predictions came true, and the largest saving."""
    compared = [remedy for remedy in experiment.remedies if remedy.agrees is not None]
    if not compared:
        return ""
    agreeing = sum(bool(remedy.agrees) for remedy in compared)
    best = max(compared, key=lambda remedy: remedy.measured_s or 0.0)
    return f"{best.text} {agreeing} of {len(compared)} predictions agree within 10 % or 0.1 s."


def controls_sentence(experiment: StartupExperiment) -> str:
    """What no setting of a loader can make cheaper."""
    known = [control for control in experiment.controls if control.again_s is not None and not control.modules]
    if not known:
        return ""
    named = enumerated([f"{control_name(control)} {duration_text(control.again_s)}" for control in known])
    text = f"Without any loader, files in the cache: {named}. What a worker imports on top is the script's."
    preload = next((control for control in experiment.controls if control.import_s is not None), None)
    if preload is None:
        return text
    modules = enumerated(preload.modules)
    return f"{text} A fork server that preloads {modules} is predicted to take {duration_text(preload.import_s)} longer for its own start."


def experiment_sentence(experiment: StartupExperiment, chart: str) -> str:
    """What one of the charts of the experiment says; the summary where it says nothing yet."""
    detail = {
        "per worker": per_worker_sentence,
        "per epoch": persistent_sentence,
        "break-even": break_even_sentence,
        "remedies": remedies_sentence,
        "controls": controls_sentence,
    }[chart](experiment)
    return f"{detail} {experiment.summary}".strip() if chart == "per worker" else detail or experiment.summary
