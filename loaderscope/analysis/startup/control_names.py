"""What a start costs without any loader, measured beside the start-up experiment."""

from __future__ import annotations

from collections.abc import Sequence

from loaderscope.facts.results import Control

PRELOAD = "preload"
"""A fork server that preloads, without any loader."""


def preload_cost_s(controls: Sequence[Control], modules: Sequence[str]) -> float | None:
    """Seconds by which a fork server that preloads starts later while nothing else runs; None where that was not measured."""
    return next((control.import_s for control in controls if control.modules == list(modules)), None)
