"""Which of some settings is meant."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.settings import normalise


def matching(wanted: TrialConfig | None, configs: list[TrialConfig]) -> TrialConfig | None:
    """The setting among `configs` that is the wanted one; a start method or batch size that it leaves open matches any."""
    if wanted is None:
        return None
    normal = normalise(wanted)
    for config in configs:
        open_fields = {
            name: getattr(config, name) for name in ("start_method", "batch_size", "forkserver_preload") if getattr(normal, name) is None
        }
        if normalise(dataclasses.replace(normal, **open_fields)) == config:
            return config
    return None
