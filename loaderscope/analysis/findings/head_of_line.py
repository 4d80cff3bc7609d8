"""Finds slow samples that hold up batches which are ready."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.facts.results import Finding, LateBatch, TrialResult
from loaderscope.facts.text import duration_text, share_text

MIN_SHARE = 0.10


def find(context: Context) -> list[Finding]:
    """Returns one finding about the trial that suffers most; slow samples are a fault of the dataset."""
    held_up = [(trial, late) for trial in context.good if (late := _worst_batch(trial)) is not None and _held_up_share(trial) >= MIN_SHARE]
    if not held_up:
        return []
    trial, late = max(held_up, key=lambda pair: _held_up_share(pair[0]))
    worker = "" if late.worker is None else f" in worker {late.worker}"
    sample = ""
    if late.sample is not None and late.sample_s is not None:
        sample = f"; sample {late.sample} alone took {duration_text(late.sample_s)}"
    usual = f" instead of {duration_text(trial.signs.fetch_s)}" if trial.signs and trial.signs.fetch_s is not None else ""
    return [
        Finding(
            code="slow-sample",
            severity="warning",
            trials=[affected.id for affected, _ in held_up],
            message=(
                f"Slow samples hold up the line: with {context.name_of(trial.config)} the main process waits "
                f"{share_text(_held_up_share(trial))} of the time for a late batch while later ones lie ready. "
                f"Batch {late.batch} of epoch {late.epoch}{worker} took {duration_text(late.fetch_s)}{usual}{sample}."
            ),
            evidence={
                "held_up_share": _held_up_share(trial),
                "batch": late.batch,
                "epoch": late.epoch,
                "worker": late.worker,
                "sample": late.sample,
            },
            advice=(
                "in_order=False (torch 2.6 and newer) hands out what is ready, if the order of batches does not matter; "
                "else make these samples cheaper."
            ),
        )
    ]


def _held_up_share(trial: TrialResult) -> float:
    return (trial.signs.held_up_share if trial.signs else None) or 0.0


def _worst_batch(trial: TrialResult) -> LateBatch | None:
    late = trial.signs.late_batches if trial.signs else []
    return late[0] if late else None
