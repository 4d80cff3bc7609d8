"""Settings of a loader as values that can be compared and named."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import TrialConfig


def normalise(config: TrialConfig) -> TrialConfig:
    """The setting with everything that means nothing there set to None, so that equal settings are equal."""
    if not config.num_workers:
        return dataclasses.replace(
            config,
            prefetch_factor=None,
            persistent_workers=None,
            start_method=None,
            in_order=None,
            backend=None,
            forkserver_preload=None,
        )
    start_method = None if config.backend == "thread" else config.start_method
    preload = config.forkserver_preload if start_method == "forkserver" else None
    return dataclasses.replace(config, start_method=start_method, forkserver_preload=preload or None)


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


def describe(config: TrialConfig, among: list[TrialConfig]) -> str:
    """The setting in words: its workers, and of the rest what differs among the settings in question."""

    def differs(field: str) -> bool:
        return len({getattr(other, field) for other in among if getattr(other, field) is not None}) > 1

    kind = "worker thread" if config.backend == "thread" else "worker process" if config.backend and differs("backend") else "worker"
    plural = "es" if kind.endswith("ss") else "s"
    words = [f"{config.num_workers} {kind}" + ("" if config.num_workers == 1 else plural)]
    if config.start_method is not None and differs("start_method"):
        words.append(config.start_method + (" with preload" if config.forkserver_preload else ""))
    if config.persistent_workers is not None and differs("persistent_workers"):
        words.append("persistent" if config.persistent_workers else "not persistent")
    if config.batch_size is not None and differs("batch_size"):
        words.append(f"batches of {config.batch_size}")
    if config.prefetch_factor is not None and differs("prefetch_factor"):
        words.append(f"prefetch {config.prefetch_factor}")
    if differs("pin_memory"):
        words.append("pinned" if config.pin_memory else "not pinned")
    if config.in_order is not None and differs("in_order"):
        words.append("in order" if config.in_order else "out of order")
    return words[0] if len(words) == 1 else f"{words[0]} ({', '.join(words[1:])})"
