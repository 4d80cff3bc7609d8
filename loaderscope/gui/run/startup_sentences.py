"""The sentences above the start-up views and charts, for the window and the report."""

from __future__ import annotations

from collections.abc import Sequence

from loaderscope.analysis.findings.startup_causes import LINE_REMEDY, MIN_LINE_S, remedy
from loaderscope.analysis.startup.culprit import dominating_part
from loaderscope.analysis.startup.experiment import BreakEven, Remedy, StartCost, StartupExperiment
from loaderscope.analysis.startup.main_import import heaviest_line
from loaderscope.facts.remedies import control_title, remedy_kind, start_title
from loaderscope.facts.results import TrialResult
from loaderscope.facts.startup_results import Control, SentPart
from loaderscope.facts.text import bytes_text, duration_text, enumerated, grouped_text, share_text

PIPE_BYTES = 65_536
"""Linux buffers this much in a pipe: sending less needs no remedy."""


def batches_text(count: int) -> str:
    """Returns a count in words: 1 batch, 1 200 batches."""
    return "1 batch" if count == 1 else f"{grouped_text(count)} batches"


def start_name(cost: StartCost | BreakEven) -> str:
    """Returns how workers are started, in words: spawn, or forkserver, preloaded."""
    return start_title(cost.start_method, bool(cost.preload))


def control_name(control: Control) -> str:
    """Returns what a control measures, in words."""
    return control_title(control.name, control.modules)


def remedy_title(remedy: Remedy) -> str:
    """Returns a remedy and where it was tried: persistent, 2 × spawn, 3 epochs."""
    against = remedy.against
    scope = ", with server" if remedy.with_server else f", {remedy.over_epochs} epochs" if remedy.over_epochs > 1 else ""
    return f"{remedy_kind(remedy.name).word}, {against.num_workers} × {against.start_method}{scope}"


def remedy_verdict(remedy: Remedy) -> str:
    """Returns whether the prediction came true, and how far it is from the measurement."""
    if remedy.predicted_s is None or remedy.measured_s is None:
        return "not measured" if remedy.measured_s is None else "no prediction"
    excess_s = remedy.measured_s - remedy.predicted_s
    if remedy.agrees:
        return f"agrees, {duration_text(abs(excess_s))} apart"
    size = f"{duration_text(abs(excess_s))} {'more' if excess_s > 0 else 'less'}"
    return f"{size}, noise" if abs(excess_s) <= (remedy.noise_s or 0.0) else f"{size} than predicted"


def slowest_start(results: Sequence[TrialResult]) -> TrialResult | None:
    """Returns the trial that waited longest for its first batch; a perfect loader waits for all of its batches, so it is none."""
    started = [result for result in results if result.startup is not None and result.purpose.is_of_setting]
    measured = [result for result in started if result.first_batch_s is not None]
    return max(measured, key=lambda result: result.first_batch_s or 0.0, default=None)


def _name_of(result: TrialResult) -> str:
    return f"Trial {result.id}" if result.loader is None else f"The loader made at {result.loader.name}"


def culprit_sentence(result: TrialResult | None) -> str:
    """Says what takes most of the time to the first batch, how much of it is explained, and how much is Loaderscope's own."""
    if result is None or result.startup is None:
        return ""
    startup = result.startup
    parts = [f"{_name_of(result)}: first batch after {duration_text(result.first_batch_s)}"]
    if startup.culprit is not None:
        parts[0] += f"; the longest part, {duration_text(startup.culprit.seconds)}: {startup.culprit.detail}"
    if startup.explained_share is not None:
        parts.append(f"{share_text(startup.explained_share)} explained")
    if startup.own_s is not None:
        parts.append(f"{duration_text(startup.own_s)} of it Loaderscope's own")
    return ". ".join((parts[0], "; ".join(parts[1:]))) + "." if len(parts) > 1 else parts[0] + "."


def sent_sentence(sent: Sequence[SentPart] | None) -> str:
    """Says how much each worker is sent, and names a remedy if one attribute dominates."""
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
    """Says how long the worker of the first batch spent on importing the script again."""
    if result is None or result.startup is None or not result.startup.imports:
        return ""
    roots = sorted((cost for cost in result.startup.imports if cost.parent is None), key=lambda cost: -cost.total_s)
    named = enumerated([f"{cost.name} {duration_text(cost.total_s)}" for cost in roots[:3]])
    whole = duration_text(sum(cost.total_s for cost in roots))
    text = f"{_name_of(result)}: the worker of the first batch spent {whole} on imports: {named}."
    line = heaviest_line(result.startup.lines)
    line_s = 0.0 if line is None else line.seconds - line.import_s
    return (
        f"{text} Line {line.line} of the script took {duration_text(line_s)} besides."
        if line is not None and line_s >= MIN_LINE_S
        else text
    )


def lines_sentence(result: TrialResult | None) -> str:
    """Says which line of the script's own top level took longest."""
    line = heaviest_line(result.startup.lines) if result is not None and result.startup is not None else None
    if line is None or result is None:
        return ""
    own = duration_text(line.seconds - line.import_s)
    costliest = f"its costliest line besides imports is {line.line}, with {own}"
    text = f"{_name_of(result)}: every worker runs the script's top level again; {costliest}."
    return f"{text} {LINE_REMEDY}" if line.seconds - line.import_s >= MIN_LINE_S else text


def per_worker_sentence(experiment: StartupExperiment) -> str:
    """Says what a start takes with each start method: a fixed part, and a part for each worker."""
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
    """Says what persistent workers save over the user's epochs."""
    saving = [remedy for remedy in experiment.remedies if remedy.name == "persistent_workers" and (remedy.per_epoch_s or 0.0) > 0]
    if not saving:
        return ""
    best = max(saving, key=lambda remedy: remedy.per_epoch_s or 0.0)
    whole = duration_text((best.per_epoch_s or 0.0) * (experiment.train_epochs - 1))
    workers = f"{best.against.num_workers} × {best.against.start_method}"
    return f"Persistent workers save {duration_text(best.per_epoch_s)} an epoch ({workers}), {whole} over {experiment.train_epochs} epochs."


def break_even_sentence(experiment: StartupExperiment) -> str:
    """Says how long an epoch must be before workers pay off, for the setting in which they do so earliest."""
    rows = [row for row in experiment.break_even if row.batches is not None]
    if not rows:
        return "" if not experiment.break_even else "No workers that were tried are quicker than none, however long an epoch is."
    first = min(rows, key=lambda row: row.epoch_s or 0.0)
    return f"{first.text} That is the earliest; what is done to the batches, as a training step, is not counted."


def remedies_sentence(experiment: StartupExperiment) -> str:
    """Says what the best remedy saves, and how many predictions came true."""
    compared = [remedy for remedy in experiment.remedies if remedy.agrees is not None]
    if not compared:
        return ""
    agreeing = sum(bool(remedy.agrees) for remedy in compared)
    best = max(compared, key=lambda remedy: remedy.measured_s or 0.0)
    return f"{best.text} {agreeing} of {len(compared)} predictions agree within 10 % or 0.1 s."


def controls_sentence(experiment: StartupExperiment) -> str:
    """Says what an interpreter and its imports cost without any loader: no setting makes that cheaper."""
    measured = [control for control in experiment.controls if control.again_s is not None and not control.modules]
    if not measured:
        return ""
    named = enumerated([f"{control_name(control)} {duration_text(control.again_s)}" for control in measured])
    text = f"Without any loader, files in the cache: {named}. What a worker imports on top is the script's."
    preload = next((control for control in experiment.controls if control.import_s is not None), None)
    if preload is None:
        return text
    modules = enumerated(preload.modules)
    return f"{text} A fork server that preloads {modules} is predicted to take {duration_text(preload.import_s)} longer for its own start."


def experiment_sentence(experiment: StartupExperiment, chart: str) -> str:
    """Returns the sentence of one chart of the experiment; the summary if there is nothing to say about the chart yet."""
    detail = {
        "per worker": per_worker_sentence,
        "per epoch": persistent_sentence,
        "break-even": break_even_sentence,
        "remedies": remedies_sentence,
        "controls": controls_sentence,
    }[chart](experiment)
    return f"{detail} {experiment.summary}".strip() if chart == "per worker" else detail or experiment.summary
