"""Explains in plain words why trials failed and what to do: one finding for each kind of failure."""

from __future__ import annotations

from loaderscope.agent import error_sentences
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.results import Finding, TrialResult
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import enumerated

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
    error_sentences.FILE_DESCRIPTORS: "Raise the limit (ulimit -n), or use fewer workers or a smaller prefetch_factor.",
    error_sentences.SHARED_MEMORY: "Shared memory is too small: give the container more (docker run --shm-size=8g), or use fewer workers.",
    error_sentences.KILLED: "The system kills a process that ran out of memory: use fewer workers or a smaller prefetch_factor.",
    error_sentences.NATIVE_CRASH: (
        "A crash in native code is a fault of a library that the dataset uses, or of its use after a fork; try spawn."
    ),
    error_sentences.DISK: "Make room, or let TMPDIR name a folder on a disk that has some.",
    error_sentences.PAGING_FILE: (
        "Every worker that loads torch charges the paging file, with CUDA's libraries by a GB and more: use fewer workers, or let Windows "
        "make the paging file larger (Settings > System > About > Advanced system settings > Performance > Advanced > Virtual memory)."
    ),
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
OTHER_ADVICE = "The traceback is in the log of the window, and in the error of the trial (show --json)."
MESSAGES = {
    "worker-died": "A worker died",
    "agent-died": "The interpreter that ran the trial died",
    "hung": "Nothing happened any more",
    "not-picklable": "The workers cannot be given what they need",
    "main-guard": "Workers cannot import the script",
    "limit": "A limit of the system was reached",
}


def find(context: Context) -> list[Finding]:
    """Returns one finding for each kind of failure, in the order of the first trial of each."""
    by_cause: dict[tuple[str, str], list[TrialResult]] = {}
    for trial in context.trials:
        if status_of(trial.status).is_failure and trial.error is not None:
            kind = trial.error.kind
            by_cause.setdefault((kind, trial.error.message if kind not in MESSAGES else trial.error.route or ""), []).append(trial)
    return [_about(context, kind, trials) for (kind, _), trials in by_cause.items()]


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
    if kind in ("worker-died", "agent-died", "limit"):
        advice = ADVICE_BY_CAUSE.get((error and error.cause) or "", advice)
    return Finding(
        code=kind if kind in MESSAGES else "trial-failed",
        severity="error",
        trials=[trial.id for trial in trials],
        message=message,
        evidence={"kind": kind, "statuses": sorted({trial.status for trial in trials})},
        advice=advice,
    )
