"""The short texts about trials, waits and targets that the window and the report share. No Qt."""

from __future__ import annotations

from loaderscope.agent.messages import Target
from loaderscope.analysis.late_batches import NO_WORKER, Cause
from loaderscope.facts.findings import change_of
from loaderscope.facts.purposes import trial_setting_text
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import PlannedTrial
from loaderscope.facts.text import count_text, enumerated, share_bounds_text, share_range_text, share_text

_CAUSES_BY_WORKER = {
    Cause.START: "{worker} was starting for {time}",
    Cause.INDEX: "{worker} had no indices for {time}",
    Cause.FETCH: "{worker} fetched {time}",
    Cause.COLLATE: "{worker} collated {time}",
    Cause.SEND: "{worker} sent {time}",
}
_CAUSES_BY_MAIN = {
    Cause.QUEUE: "it lay behind others in the queue for {time}",
    Cause.RECEIVE: "main received it for {time}",
    Cause.SAMPLER: "main drew and handed out indices for {time}",
    Cause.UNKNOWN: "what took {time} was not recorded",
}

CAUSE_MEANINGS = {
    Cause.START: "the worker started: its process, imports, unpickling",
    Cause.INDEX: "the worker waited for indices",
    Cause.FETCH: "the dataset was read",
    Cause.COLLATE: "samples were put together to a batch",
    Cause.SEND: "the batch was serialised and written into the pipe to main",
    Cause.QUEUE: "sent, while main unpacked batches that came before it",
    Cause.RECEIVE: "under way to main, unpacked, pinned",
    Cause.SAMPLER: "main drew the indices of a batch from the sampler, and handed them to a worker",
    Cause.UNKNOWN: "nothing was recorded that tells",
}


def training_batches_text(batch_limit: int | None, epochs: int | None) -> str:
    """Returns how much of a training a trial runs: up to 105 batches.

    Args:
        batch_limit: batches that it takes of its last epoch at most; None for all.
        epochs: how many it runs, of which the script ends all but the last; None leaves that open.
    """
    last = "a whole epoch" if batch_limit is None else f"up to {count_text(batch_limit, 'batch')}"
    if epochs is None:
        return f"{last} (of several epochs where these are short)"
    return last if epochs == 1 else f"{count_text(epochs - 1, 'whole epoch')} and {last}"


def trial_title(result: TrialResult) -> str:
    """Returns the title of a trial's timeline: its number, setting and devices, and the share of time in which its main process waits."""
    devices = f" · on {enumerated(result.devices)}" if result.devices else ""
    waits = "" if result.wait_share is None else f" · main waits {share_text(result.wait_share)} in the steady state"
    return f"{trial_name(result)}{devices}{waits}"


def trial_word(result: TrialResult) -> str:
    """Returns what distinguishes a trial: its number, or the place of its loader in a recorded training."""
    return f"trial {result.id}" if result.loader is None else result.loader.name


def trial_name(result: TrialResult) -> str:
    """Returns the name of a trial: its number, or the place of its loader in a recorded training; and its setting."""
    return f"{trial_word(result)} · {trial_setting_text(result.config, result.purpose, change_of(result.remedy))}"


def planned_name(trial: PlannedTrial) -> str:
    """Returns the name of a trial that has no result yet, as `trial_name` does."""
    return f"{trial.loader or f'trial {trial.id}'} · {trial_setting_text(trial.config, trial.purpose, change_of(trial.remedy))}"


def trial_note(result: TrialResult | None) -> str:
    """Returns the note beside the name of a trial: its error, or where its time went; empty without a result."""
    if result is None:
        return ""
    if result.error is not None:
        return result.error.message
    parts = []
    if result.wait_share is not None:
        parts.append(f"steady state: main waits {share_text(result.wait_share)}")
    if result.gpu_busy_share_low is not None or result.gpu_busy_share is not None:
        busy = share_bounds_text(result.gpu_busy_share_low, result.gpu_busy_share)
        idle = ""
        if result.data_stall_share is not None:
            idle = f", waits for data {_stall_text(result)}, idles otherwise {share_text(result.gpu_other_idle_share)}"
        parts.append(f"{enumerated(result.devices) or 'the GPU'} is busy {busy}{idle}")
    if result.copy_overlap_share:
        parts.append(f"{share_text(result.copy_overlap_share)} of the copies ran beside a step")
    if result.accelerator_share is not None:
        parts.append(f"an accelerator would be busy {share_text(result.accelerator_share)}")
    if result.disk_share is not None:
        parts.append(f"{share_text(result.disk_share)} of the bytes came from disk")
    cost = result.own_cost
    if cost is not None and cost.event_seconds is not None and result.seconds:
        percent = cost.event_seconds / result.seconds * 100
        parts.append(f"recording cost {percent:.2f} %" if percent >= 0.01 else "recording cost less than 0.01 %")
    return " · ".join(parts)


def _stall_text(result: TrialResult) -> str:
    """Returns the data stall, as a range where the device's times are rough. Older sessions have no range."""
    if result.data_stall_share_low is None or result.data_stall_share_high is None:
        return share_text(result.data_stall_share)
    return share_range_text(result.data_stall_share_low, result.data_stall_share_high)


def target_text(target: Target) -> str:
    """Returns the name of a target with its type, length and origin: train_set   Dataset · 12 000 samples."""
    parts = [target.type_name or target.kind]
    if target.length is not None:
        parts.append(count_text(target.length, "sample"))
    elif target.dataset_kind == "iterable":
        parts.append("iterable")
    if target.origin in ("function", "class"):
        parts.append(target.origin)
    return f"{target.name}   {' · '.join(parts)}"


def worker_text(worker: int) -> str:
    """Returns who made a batch: worker 2, or main."""
    return "main" if worker == NO_WORKER else f"worker {worker}"


EXPOSED_TIP = "time for which main made iterators and waited for batches, of all loaders together, while no device is known to have worked"
"""Explains exposed loading time."""


def cause_text(worker: int, cause: Cause, time: str) -> str:
    """Returns one cause of a wait with its part of the time: worker 2 fetched 310 ms."""
    return (_CAUSES_BY_WORKER.get(cause) or _CAUSES_BY_MAIN[cause]).format(worker=worker_text(worker), time=time)


def batches_text(count: int) -> str:
    """Returns a count in words: 1 batch, 12 batches."""
    return f"{count} {'batch' if count == 1 else 'batches'}"
