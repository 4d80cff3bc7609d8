"""Finds iterable datasets that give each worker the same samples, by comparing hashes of what workers yield."""

from __future__ import annotations

from loaderscope.analysis.findings import probed
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.probed_workers import ProbedEpoch
from loaderscope.facts.results import TrialResult
from loaderscope.facts.text import share_text

MIN_SAMPLES = 16
MIN_DISTINCT_SHARE = 0.95
"""Where a worker's own samples are alike, equal samples of two workers prove nothing."""
MIN_REPEATED_SHARE = 0.5

_CHANGE = (
    "info = torch.utils.data.get_worker_info()\n"
    "if info is not None:\n"
    "    samples = itertools.islice(samples, info.id, None, info.num_workers)"
)


def find(context: Context) -> list[Finding]:
    """Returns one finding if in each epoch of a probe every worker repeats samples of another one."""
    for trial in context.probes:
        epochs = probed.epochs_of_probe(trial)
        repeating = [row for rows in epochs for row in rows[1:]]
        if repeating and all(_is_comparable(row) for rows in epochs for row in rows) and all(_repeats(row) for row in repeating):
            return [_about(context, trial, repeating)]
    return []


def _is_comparable(row: ProbedEpoch) -> bool:
    if row.hashed_samples is None or row.distinct_samples is None or row.hashed_samples < MIN_SAMPLES:
        return False
    return row.distinct_samples >= MIN_DISTINCT_SHARE * row.hashed_samples


def _repeats(row: ProbedEpoch) -> bool:
    return (row.repeated_samples or 0) >= MIN_REPEATED_SHARE * (row.distinct_samples or 0)


def _about(context: Context, trial: TrialResult, rows: list[ProbedEpoch]) -> Finding:
    distinct, repeated = sum(row.distinct_samples or 0 for row in rows), sum(row.repeated_samples or 0 for row in rows)
    workers = trial.config.num_workers
    return Finding(
        code="duplicate-samples",
        severity=probed.severity_with_workers(context),
        trials=[trial.id],
        message=(
            f"Each worker yields the same samples: {share_text(repeated / distinct)} of {distinct} that were compared came from another "
            f"worker, too. With {workers} workers an epoch holds each sample {workers} times."
        ),
        evidence={
            "compared_samples": distinct,
            "repeated_samples": repeated,
            "min_repeated_share": MIN_REPEATED_SHARE,
            "num_workers": workers,
        },
        advice=(
            "Let __iter__ yield each worker's own part. Until then rates of settings with workers count each sample as often as there are "
            "workers."
        ),
        places=probed.places_of(trial, rows),
        change=_CHANGE,
    )
