"""Finds workers that drop samples: with an iterable dataset, `drop_last` drops the incomplete batch of each worker."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import TrialResult
from loaderscope.facts.text import count_text, grouped_text, share_text

MIN_SHARE = 0.01
"""A smaller share of the samples is no loss."""


def find(context: Context) -> list[Finding]:
    """Returns one finding about the setting that loses the largest share of its samples, if any loses much by its workers."""
    losses = [(share, trial) for trial in context.good if (share := _lost_share(trial)) >= MIN_SHARE]
    if not losses:
        return []
    _, worst = max(losses, key=lambda loss: loss[0])
    configs = [trial.config for _, trial in losses]
    subject = context.subject
    return [
        Finding(
            code="dropped-samples",
            severity="warning" if subject is not None and subject.config in configs else "info",
            trials=[trial.id for _, trial in losses],
            message=_message(context, worst),
            evidence={
                "dropped_samples": {str(trial.id): trial.dropped_samples for _, trial in losses},
                "lost_shares": {str(trial.id): round(share, 4) for share, trial in losses},
            },
            advice=(
                f"Use fewer workers, a smaller batch size or drop_last=False{context.at_place}, or let each worker read whole batches "
                "of the stream."
            ),
        )
    ]


def _lost_share(trial: TrialResult) -> float:
    """Returns the share of the samples read that is lost because every worker drops its own incomplete batch, not only the last one."""
    dropped, delivered, size = trial.dropped_samples or 0, _delivered_samples(trial), trial.config.batch_size
    if trial.config.num_workers < 2 or not dropped or not size:
        return 0.0
    epochs = max(1, len(trial.epochs))
    in_epoch = (delivered + dropped) / epochs
    return max(0.0, dropped / epochs - in_epoch % size) / in_epoch if delivered else 1.0


def _delivered_samples(trial: TrialResult) -> int:
    """Returns the samples that main received; in a recorded training nobody counts them, but drop_last leaves only full batches."""
    return trial.samples if trial.samples is not None else trial.batches * (trial.config.batch_size or 0)


def _message(context: Context, trial: TrialResult) -> str:
    dropped, epochs, size = trial.dropped_samples or 0, max(1, len(trial.epochs)), trial.config.batch_size
    name = context.name_of(trial.config)
    delivered = _delivered_samples(trial)
    if not delivered:
        return (
            f"With {name} no batch comes out: drop_last works in each worker, and none reads the {size} samples of a batch, so all "
            f"{count_text(round(dropped / epochs), 'sample')} of an epoch are dropped."
        )
    read = delivered + dropped
    return (
        f"With {name} {grouped_text(round(dropped / epochs))} of {count_text(round(read / epochs), 'sample')} of an epoch "
        f"({share_text(dropped / read)}) are dropped: drop_last works in each worker, which drops its own incomplete batch."
    )
