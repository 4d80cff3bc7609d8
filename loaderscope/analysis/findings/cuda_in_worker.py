"""Finds workers that use CUDA, or try to: by the texts that torch raises for it below a worker's fetch, collate or init function."""

from __future__ import annotations

import re

from loaderscope.agent.messages import ErrorInfo
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import TrialResult
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import enumerated

_AFTER_FORK = "Cannot re-initialize CUDA in forked subprocess"
TEXTS = (
    _AFTER_FORK,
    "Torch not compiled with CUDA enabled",
    "Found no NVIDIA driver on your system",
    "No CUDA GPUs are available",
    "CUDA error: initialization error",
)
"""What torch/cuda/__init__.py, and CUDA itself in a forked process, say when a process first uses it."""
_IN_WORKER = re.compile(r"in DataLoader worker process \d+")


def find(context: Context) -> list[Finding]:
    """Returns one finding if any worker process tried; trials without workers that fail at the same line belong to it."""
    failures = [trial for trial in context.trials if status_of(trial.status).is_failure and _text_of(trial.error) is not None]
    in_workers = [trial for trial in failures if trial.error is not None and _IN_WORKER.search(trial.error.traceback)]
    if not in_workers:
        return []
    error = in_workers[0].error
    assert error is not None
    place = (error.file, error.line)
    same = [trial for trial in failures if trial in in_workers or (trial.error and (trial.error.file, trial.error.line) == place)]
    return [_about(context, same, in_workers, error)]


def _text_of(error: ErrorInfo | None) -> str | None:
    """Returns the text that shows the use of CUDA; None if the error shows none."""
    return None if error is None else next((text for text in TEXTS if text in error.traceback), None)


def _about(context: Context, trials: list[TrialResult], in_workers: list[TrialResult], error: ErrorInfo) -> Finding:
    shown = enumerated(list(dict.fromkeys(context.name_of(trial.config) for trial in in_workers)))
    text = _text_of(error)
    advice = "Let dataset, collate_fn and worker_init_fn make CPU tensors, and move each batch in the training loop."
    if text == _AFTER_FORK:
        advice += " A worker needs spawn to use CUDA at all, and then holds hundreds of MB of the device's memory."
    return Finding(
        code="cuda-in-worker",
        severity="error",
        trials=[trial.id for trial in trials],
        message=f"With {shown} a worker uses CUDA: {error.message.rstrip('.')}.",
        evidence={"text": text, "file": error.file, "line": error.line, "trials_in_workers": [trial.id for trial in in_workers]},
        advice=advice,
        change='for batch in loader:  # pin_memory=True\n    batch = batch.to("cuda", non_blocking=True)',
    )
