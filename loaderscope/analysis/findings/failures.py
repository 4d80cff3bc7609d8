"""Why trials failed, in plain words, with the remedy; one finding for each kind of failure."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.results import Finding, TrialResult

ADVICE = {
    "worker-died": (
        "A worker that is killed by the system most often ran out of memory: use fewer workers or a smaller prefetch_factor. If it "
        "died of a segmentation fault, the last words of the trial name the sample that it was on."
    ),
    "agent-died": "The last words of the trial name what it was doing; memory that runs out is the most frequent cause.",
    "hung": (
        "Look at the stacks of the trial: they show what every process was waiting for. Locks and thread pools that exist before "
        "a fork are a frequent cause; spawn avoids it. If the data is just slow, give more time with --timeout."
    ),
    "not-picklable": (
        "spawn and forkserver send the dataset to the workers by pickle: define its classes and functions at the top level of the "
        "script (no lambdas, no local classes) and open files in the worker, not in __init__."
    ),
    "main-guard": 'Put what the script runs under `if __name__ == "__main__":`, since every spawned worker imports the script again.',
    "limit": "Use fewer workers, a smaller prefetch_factor or smaller batches, or raise the limit.",
}
SHARED_MEMORY_ADVICE = "Shared memory is too small: give the container more (docker run --shm-size=8g), or use fewer workers."
OTHER_ADVICE = "The traceback of the trial names the line."
MESSAGES = {
    "worker-died": "A worker died",
    "agent-died": "The interpreter that ran the trial died",
    "hung": "Nothing happened any more",
    "not-picklable": "The dataset cannot be sent to the workers",
    "main-guard": "The script has no main guard",
    "limit": "A limit of the system was reached",
}


def find(context: Context) -> list[Finding]:
    """Failures by kind, in the order of the first trial of each."""
    by_cause: dict[tuple[str, str], list[TrialResult]] = {}
    for trial in context.trials:
        if trial.status in ("failed", "timeout", "killed") and trial.error is not None:
            kind = trial.error.kind
            by_cause.setdefault((kind, "" if kind in MESSAGES else trial.error.message), []).append(trial)
    return [_about(context, kind, trials) for (kind, _), trials in by_cause.items()]


def _about(context: Context, kind: str, trials: list[TrialResult]) -> Finding:
    text = trials[0].error.message if trials[0].error is not None else ""
    names = list(dict.fromkeys(context.name_of(trial.config) for trial in trials))
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    everywhere = len(trials) == sum(trial.status not in ("skipped", "cancelled") for trial in context.trials)
    where = "in every trial" if everywhere else f"with {shown}"
    message = f"{MESSAGES[kind]} {where}: {text}" if kind in MESSAGES else f"The trial failed {where}: {text}"
    advice = ADVICE.get(kind, OTHER_ADVICE)
    if kind in ("worker-died", "limit") and any(sign in text.lower() for sign in ("bus error", "shared memory", "/dev/shm")):
        advice = SHARED_MEMORY_ADVICE
    return Finding(
        code=kind if kind in MESSAGES else "trial-failed",
        severity="error",
        trials=[trial.id for trial in trials],
        message=message,
        evidence={"kind": kind, "statuses": sorted({trial.status for trial in trials})},
        advice=advice,
    )
