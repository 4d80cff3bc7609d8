"""Numbers and settings as the short texts the window and the report use."""

from __future__ import annotations

from loaderscope.agent.messages import Target
from loaderscope.facts.results import TrialResult
from loaderscope.facts.settings import setting_text
from loaderscope.facts.text import count_text, share_text


def pair_title(result: TrialResult) -> str:
    """A trial among others: its number, its setting and the share that its main process waits."""
    waits = "" if result.wait_share is None else f" · main waits {share_text(result.wait_share)} in the steady state"
    return f"trial {result.id} · {setting_text(result.config)}{waits}"


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
