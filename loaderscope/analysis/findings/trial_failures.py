"""Explains in plain words why trials failed and what to do: one finding for each cause, or else for each kind of failure."""

from __future__ import annotations

from typing import Any

from loaderscope.agent import error_sentences
from loaderscope.agent.messages import ErrorInfo
from loaderscope.analysis.findings import cuda_in_worker, shared_handles, system_limits
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import TrialResult
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import enumerated
from loaderscope.trace.process_places import places_text, process_places

ADVICE = {
    "worker-died": "Its last words are in the log of the window, and in the error of the trial (show --json).",
    "agent-died": "Its last words are in the log of the window, and in the error of the trial (show --json).",
    "hung": (
        "The stacks of all processes are in the log of the window, and in the error of the trial (show --json). Locks and thread pools "
        "that exist before a fork are a frequent cause; spawn avoids it. If the data is just slow, give more time with --timeout."
    ),
    "not-picklable": (
        "spawn and forkserver send dataset, collate_fn and worker_init_fn to each worker by pickle: their classes and functions must stand "
        "at the top level of a module, and a worker opens its files itself. 0 workers, and fork where there is one, send nothing."
    ),
    "main-guard": (
        "Workers that are spawned or come from a fork server import the script again and run all that stands at its top level: "
        "all workers on Windows and macOS, and on Linux since Python 3.14. 0 workers, and fork where there is one, run as it is."
    ),
    "limit": "Use fewer workers, a smaller prefetch_factor or smaller batches, or raise the limit.",
}
ADVICE_BY_CAUSE = {
    **system_limits.ADVICE,
    error_sentences.KILLED: "The system kills a process that ran out of memory: use fewer workers or a smaller prefetch_factor.",
    error_sentences.NATIVE_CRASH: (
        "A crash in native code is a fault of a library that the dataset uses, or of its use after a fork; try spawn."
    ),
    error_sentences.DISK: "Make room, or let TMPDIR name a folder on a disk that has some.",
}
"""Advice by the cause of a process's death, or by the limit that was reached."""
THROUGH_QUEUES = {
    "batch": (
        "The workers' batches cannot be sent",
        "A worker pickles each batch, under every start method: return numbers, text, arrays and tensors without gradients. "
        "0 workers and the thread backend send nothing.",
    ),
    "indices": (
        "The workers cannot be given their indices",
        "The main process pickles the indices of each batch for a worker, under every start method: let the sampler give numbers or text. "
        "0 workers and the thread backend send nothing.",
    ),
}
"""Message and advice for objects that are pickled while batches are made, not when workers start, by the error's route."""
SAMPLES_DIFFER_ADVICE = (
    "A batch is one tensor, so its samples must be alike: make them so in the dataset, or let a collate_fn pad them "
    "or return a list of them."
)
_DIFFERENT_SHAPES = ("stack expects each tensor to be equal size", "Trying to resize storage that is not resizable")
"""Torch's words where shapes differ: without workers, and with workers, which collate into shared memory (default collate)."""
_PAD = (
    "def collate(samples):  # pads to the longest of the batch\n"
    "    tensors = [... for sample in samples]  # the part of each sample that differs\n"
    "    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)\n\n"
    "DataLoader(..., collate_fn=collate)"
)
_DETACH = "return sample.detach()  # at the end of __getitem__"
OTHER_ADVICE = "The traceback is in the log of the window, and in the error of the trial (show --json)."
MESSAGES = {
    "worker-died": "A worker died",
    "agent-died": "The interpreter that ran the trial died",
    "hung": "Nothing happened any more",
    "not-picklable": "The workers cannot be given what they need",
    "main-guard": "Workers cannot import the script",
    "limit": "A limit of the system was reached",
}


HUNG = "hung"
_CAUSES = (shared_handles, cuda_in_worker, system_limits)


def find(context: Context) -> list[Finding]:
    """Returns the findings that prove a cause, and one for each kind of the other failures, in the order of the first trial of each.

    What hangs is told in either case, because that says where each process stands.
    """
    found = [finding for kind in _CAUSES for finding in kind.find(context)]
    explained = {number for finding in found for number in finding.trials}
    by_cause: dict[tuple[str, str], list[TrialResult]] = {}
    for trial in context.trials:
        if status_of(trial.status).is_failure and trial.error is not None and (trial.id not in explained or trial.error.kind == HUNG):
            kind = trial.error.kind
            by_cause.setdefault((kind, _what_is_alike(trial.error)), []).append(trial)
    return [*found, *(_about(context, kind, trials) for (kind, _), trials in by_cause.items())]


def _what_is_alike(error: ErrorInfo) -> str:
    """Returns what errors of one kind must share to be one finding."""
    if error.cause == error_sentences.SAMPLES_DIFFER:  # torch words it differently with workers, and batches differ in their samples
        return error.cause
    return error.message if error.kind not in MESSAGES else error.route or ""


def _change(error: ErrorInfo) -> str:
    if error.cause == error_sentences.SAMPLES_DIFFER and any(text in error.traceback for text in _DIFFERENT_SHAPES):
        return _PAD
    return _DETACH if error.cause == error_sentences.GRADIENTS else ""


def _about(context: Context, kind: str, trials: list[TrialResult]) -> Finding:
    error = trials[0].error
    text = error.message if error is not None else ""
    text = text if text.endswith((".", "!", "?")) else f"{text}."
    names = list(dict.fromkeys(context.name_of(trial.config) for trial in trials))
    shown = enumerated(names)
    everywhere = len(trials) == sum(status_of(trial.status).is_outcome for trial in context.trials)
    where = "in every trial" if everywhere else f"with {shown}"
    title, advice = MESSAGES.get(kind), ADVICE.get(kind, OTHER_ADVICE)
    title, advice = THROUGH_QUEUES.get((error and error.route) or "", (title, advice))
    if title is not None:
        message = f"{title} {where}: {text}"
    else:
        message = f"Every trial failed: {text}" if everywhere else f"The trial failed {where}: {text}"
        message = message if context.recorded is None else f"There are no figures of this loader: {text}"
    if error is not None and error.cause == error_sentences.SAMPLES_DIFFER:
        advice = SAMPLES_DIFFER_ADVICE
    if kind in ("worker-died", "agent-died", "limit"):
        advice = ADVICE_BY_CAUSE.get((error and error.cause) or "", advice)
    evidence: dict[str, Any] = {"kind": kind, "statuses": sorted({trial.status for trial in trials})}
    if error is not None and error.line is not None:
        evidence |= {"file": error.file, "line": error.line}
    if kind == HUNG and error is not None and (places := process_places(error.traceback, error.file or "")):
        message += f" Where each process stands: {places_text(places)}."
        evidence["places"] = [place.words for place in places]
    return Finding(
        code=kind if kind in MESSAGES else "trial-failed",
        severity="error",
        trials=[trial.id for trial in trials],
        message=message,
        evidence=evidence,
        advice=advice,
        change="" if error is None else _change(error),
    )
