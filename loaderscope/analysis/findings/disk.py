"""Trials that read from disk beside trials that read from the page cache: they are not the same experiment."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.facts.results import Finding
from loaderscope.facts.text import share_text

COLD = 0.20
WARM = 0.05


def find(context: Context) -> list[Finding]:
    """One finding when some trials ran cold and others warm."""
    known = [(trial, trial.disk_share) for trial in context.good if trial.disk_share is not None]
    cold = [(trial, share) for trial, share in known if share >= COLD]
    warm = [trial for trial, share in known if share <= WARM]
    if not (cold and warm):
        return []
    worst = max(share for _, share in cold)
    names = ", ".join(str(trial.id) for trial, _ in cold)
    plural = "s" if len(cold) > 1 else ""
    return [
        Finding(
            code="cold-cache",
            severity="info",
            trials=[trial.id for trial, _ in cold],
            message=(
                f"Trial{plural} {names} read up to {share_text(worst)} of the data from disk, others next to none: a cold cache makes "
                "a setting look slower than it is."
            ),
            evidence={"disk_shares": {str(trial.id): round(share, 4) for trial, share in known}},
            advice="Run the sweep again, now that the data is cached.",
        )
    ]
