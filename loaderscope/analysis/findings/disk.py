"""Finds trials that read from disk beside trials that read from the page cache: their figures cannot be compared."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.text import share_text

MIN_COLD_SHARE = 0.20
MAX_WARM_SHARE = 0.05


def find(context: Context) -> list[Finding]:
    """Returns one finding if some trials ran with a cold page cache and others with a warm one."""
    known = [(trial, trial.disk_share) for trial in context.good if trial.disk_share is not None]
    cold = [(trial, share) for trial, share in known if share >= MIN_COLD_SHARE]
    warm = [trial for trial, share in known if share <= MAX_WARM_SHARE]
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
