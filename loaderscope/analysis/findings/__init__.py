"""What is wrong with the pipeline, one file a kind of finding; each has `find(context) -> list[Finding]`."""

from __future__ import annotations

from loaderscope.analysis.findings import (
    accelerator,
    disk,
    exact_window,
    failures,
    head_of_line,
    memory,
    pinning,
    startup,
    startup_causes,
    threads,
    verdict,
)
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.results import Finding

__all__ = ["Context", "find_all"]

_KINDS = (failures, verdict, accelerator, exact_window, startup, startup_causes, memory, head_of_line, pinning, threads, disk)
_SEVERITIES = ("error", "warning", "info")


def find_all(context: Context) -> list[Finding]:
    """All findings, the gravest first."""
    found = [finding for kind in _KINDS for finding in kind.find(context)]
    return sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity))
