"""Reports the exact busy share of the subject's profiled steps, beside the share from the events of its batches."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.text import share_bounds_text, share_text


def find(context: Context) -> list[Finding]:
    """Returns one finding if there is an exact busy share."""
    subject = context.subject
    trial = next((trial for trial in context.trials_of(subject) if trial.gpu_window is not None), None) if subject else None
    window = trial.gpu_window if trial is not None else None
    if trial is None or window is None or window.busy_share is None:
        return []
    name = context.name_of(trial.config)
    evidence = {
        "steps": window.steps,
        "busy_share": window.busy_share,
        "gpu_busy_share": trial.gpu_busy_share,
        "gpu_busy_share_low": trial.gpu_busy_share_low,
    }
    exact = share_text(window.busy_share)
    message = f"Within {window.steps} profiled steps with {name} kernels and copies kept the GPU busy {exact} of the time"
    if trial.gpu_busy_share_low is not None or trial.gpu_busy_share is not None:
        bounds = share_bounds_text(trial.gpu_busy_share_low, trial.gpu_busy_share)
        message += f"; by the events of its batches it was {bounds}"
    advice = "The profiler slows the steps that it watches, so this share is that of a somewhat slower step."
    return [Finding("exact-window", "info", [trial.id], message + ".", evidence, advice)]
