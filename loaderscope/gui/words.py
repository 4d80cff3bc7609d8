"""Numbers and settings as the short texts the window and the report use."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from loaderscope.agent.messages import Consumer, Target, TrialConfig
from loaderscope.analysis.results import TrialResult
from loaderscope.facts.text import MISSING, count_text, share_text

AXIS_LABELS = {
    "num_workers": "workers",
    "batch_size": "batch",
    "prefetch_factor": "prefetch",
    "start_method": "start",
    "pin_memory": "pinned",
    "persistent_workers": "persist",
    "in_order": "in order",
    "backend": "backend",
}
"""Column titles of the axes of a setting, in the order in which they are told."""

STATUS_TEXTS = {
    "ok": "done",
    "failed": "failed",
    "timeout": "hung",
    "killed": "killed",
    "skipped": "skipped",
    "cancelled": "stopped",
    "running": "running",
}


def value_text(value: object) -> str:
    """One value of an axis: on, off, a number or a name."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def config_text(config: TrialConfig, leave_out: frozenset[str] = frozenset()) -> str:
    """A setting in one line: 4 workers · spawn · batch 64 · persistent. `leave_out` names axes that need no telling."""
    parts = [] if "num_workers" in leave_out else [count_text(config.num_workers, "worker")]
    if config.backend == "thread":
        parts.append("threads")
    elif config.backend == "process" and not config.start_method:
        parts.append("processes")
    if config.start_method and "start_method" not in leave_out:
        parts.append(config.start_method + (" + preload" if config.forkserver_preload else ""))
    if config.batch_size is not None and "batch_size" not in leave_out:
        parts.append(f"batch {config.batch_size}")
    if config.prefetch_factor not in (None, 2) and "prefetch_factor" not in leave_out:
        parts.append(f"prefetch {config.prefetch_factor}")
    if config.persistent_workers:
        parts.append("persistent")
    if config.pin_memory:
        parts.append("pinned")
    if config.in_order is False:
        parts.append("any order")
    return " · ".join(parts)


def pair_title(result: TrialResult) -> str:
    """A trial among others: its number, its setting and the share that its main process waits."""
    waits = "" if result.wait_share is None else f" · main waits {share_text(result.wait_share)} in the steady state"
    return f"trial {result.id} · {config_text(result.config)}{waits}"


def trial_note(result: TrialResult | None) -> str:
    """What to tell beside the name of the trial."""
    if result is None:
        return ""
    if result.error is not None:
        return result.error.message
    parts = []
    if result.wait_share is not None:
        parts.append(f"steady state: main waits {share_text(result.wait_share)}")
    if result.gpu_busy_share is not None:
        stall, other = share_text(result.data_stall_share), share_text(result.gpu_other_idle_share)
        parts.append(f"GPU busy at most {share_text(result.gpu_busy_share)}, waits for data {stall}, idles otherwise {other}")
    if result.accelerator_share is not None:
        parts.append(f"an accelerator would be busy {share_text(result.accelerator_share)}")
    if result.disk_share is not None:
        parts.append(f"{share_text(result.disk_share)} of the bytes came from disk")
    cost = result.own_cost
    if cost is not None and cost.event_seconds is not None and result.seconds:
        percent = cost.event_seconds / result.seconds * 100
        parts.append(f"recording cost {percent:.2f} %" if percent >= 0.01 else "recording cost less than 0.01 %")
    return " · ".join(parts)


def constant_axes(configs: Collection[TrialConfig]) -> frozenset[str]:
    """Names of the axes on which these settings are all alike; the workers, and what a fork server preloads, always count as told."""
    told = ("num_workers", "forkserver_preload")  # of the latter, none is a value like any other
    names = [field.name for field in dataclasses.fields(TrialConfig) if field.name not in told]
    return frozenset(name for name in names if len({getattr(one, name) for one in configs} - {None}) < 2)


def short_config_text(config: TrialConfig, configs: Collection[TrialConfig]) -> str:
    """A setting with only what tells it from the others."""
    plain = TrialConfig()
    return config_text(dataclasses.replace(config, **{name: getattr(plain, name) for name in constant_axes(configs)}))


def consumer_text(consumer: Consumer | None) -> str:
    """Who takes the batches."""
    if consumer is None or consumer.kind == "none":
        return "nobody (iterate only)"
    if consumer.kind == "script":
        return "training step of the script"
    milliseconds = f" {consumer.ms:g} ms" if consumer.ms is not None else ""
    return {"sleep": "sleep", "burn": "CPU burn", "cuda": "CUDA load"}.get(consumer.kind, consumer.kind) + milliseconds


def target_text(target: Target) -> str:
    """A target with what is known of it: train_set   Dataset · 12 000 samples."""
    what = target.type_name or target.kind
    parts = [what]
    if target.length is not None:
        parts.append(count_text(target.length, "sample"))
    elif target.dataset_kind == "iterable":
        parts.append("iterable")
    if target.origin in ("function", "class"):
        parts.append(target.origin)
    return f"{target.name}   {' · '.join(parts)}"
