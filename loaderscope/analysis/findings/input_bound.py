"""Finds whether the input or the step is the bottleneck.

The thresholds come from TensorFlow's input-pipeline analyzer: the input is no problem below 5 % of the step time, and the
bottleneck from 20 % on.
"""

from __future__ import annotations

from loaderscope.analysis.findings import loader_remade, sampler_bound, transfer_bound, worker_shares
from loaderscope.analysis.findings.context import Context, RecordedLoader
from loaderscope.analysis.findings.fetch_limits import shared_limit_of
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult
from loaderscope.facts.text import enumerated, share_bounds_text, share_range_text, share_text

COMPUTE_BOUND_BELOW = 0.05
INPUT_BOUND_FROM = 0.20
_COMPUTES_FROM = 0.5
_FIRST_WORKERS = 4
"""A loader without workers is advised to have so many at first, if there are as many cores."""
_CHEAPER_DATASET = "make the dataset itself cheaper (decode less, resize beforehand, cache), or add processors"
_SHARED_LIMIT = "Workers wait for something that they share: that is to be mended first (see lock-bound)."
WIDEST_STALL_RANGE = 0.10
"""Where the device's clock is so rough that the stall may lie anywhere in a wider range, main's waits decide."""


def find(context: Context) -> list[Finding]:
    """Returns a verdict on the subject, and one finding for each verdict on other settings."""
    if not context.has_consumer:
        return []
    subject = context.subject
    found: list[Finding] = []
    others: dict[str, list[SettingResult]] = {}
    for setting in context.settings:
        code = verdict_of(setting)
        if code is None:
            continue
        if setting is subject:
            found.append(_about_subject(context, setting, code))
        else:
            others.setdefault(code, []).append(setting)
    return found + [_about_others(context, settings, code) for code, settings in others.items()]


def verdict_of(setting: SettingResult) -> str | None:
    """Returns `input-bound`, `partly-input-bound` or `compute-bound`; None if the stall was not measured."""
    stalled = stalled_share(setting)
    if stalled is None:
        return None
    if stalled >= INPUT_BOUND_FROM:
        return "input-bound"
    return "compute-bound" if stalled < COMPUTE_BOUND_BELOW else "partly-input-bound"


def stalled_share(setting: SettingResult) -> float | None:
    """Returns the share of time lost to the input: the device idles while main waits, or, where that is not known well, main waits.

    No more is lost than the device idles at most.
    """
    if knows_stall(setting):
        return setting.data_stall_share
    if setting.wait_share is None or setting.gpu_busy_share_low is None:
        return setting.wait_share
    return min(setting.wait_share, 1.0 - setting.gpu_busy_share_low)


def knows_stall(setting: SettingResult) -> bool:
    """Whether the device's idle time is known well enough for a verdict: its clock may be rough."""
    low, high = setting.data_stall_share_low, setting.data_stall_share_high
    return setting.data_stall_share is not None and (low is None or high is None or high - low <= WIDEST_STALL_RANGE)


def _about_subject(context: Context, setting: SettingResult, code: str) -> Finding:
    share, name = stalled_share(setting) or 0.0, context.name_of(setting.config)
    lost = _lost_text(setting, share, "of the time" if context.recorded is None else "of the time within its epochs")
    advice = "The loader keeps up; a faster step is what would shorten the training."
    message = f"With {name} the step is the bottleneck: {lost}."
    severity = "info"
    if code != "compute-bound":
        degree = "the input is the bottleneck" if code == "input-bound" else "the input costs some time"
        message = f"With {name} {degree}: {lost}."
        limit = _limit(context, setting)
        if limit is not None:
            advice = f"The limit is neither the dataset nor the number of workers: see {limit}."
        else:
            severity = context.severity_of_wait(setting)
            advice = _advice(context, setting) if context.recorded is None else _change_at_place(context, context.recorded, setting)
        if any(worker_shares.idle_workers_of(trial) for trial in context.trials_of(setting)):
            advice = f"Workers are idle, so more of them cannot help. {worker_shares.SPLIT_ADVICE}"
    if context.recorded is not None and context.recorded.exposed_share is not None:
        message += f" The whole training waited {share_text(context.recorded.exposed_share)} of its time for this loader."
    return Finding(code, severity, setting.trials, message, _evidence(setting), advice)


def _limit(context: Context, setting: SettingResult) -> str | None:
    """Returns the code of the finding that names a limit which neither workers nor a cheaper dataset move; None without one."""
    if sampler_bound.limits(context, setting):
        return sampler_bound.CODE
    if any(map(loader_remade.is_remade, context.trials_of(setting))):
        return loader_remade.CODE
    return transfer_bound.CODE if transfer_bound.load_of(context, setting) is not None else None


def _about_others(context: Context, settings: list[SettingResult], code: str) -> Finding:
    shares = [stalled_share(setting) or 0.0 for setting in settings]
    names = enumerated([context.name_of(setting.config) for setting in settings])
    what = {
        "input-bound": "the input is the bottleneck",
        "partly-input-bound": "the input costs some time",
        "compute-bound": "the step is the bottleneck",
    }[code]
    idle, idle_shares = "the GPU idles for want of data", shares
    if not all(knows_stall(setting) for setting in settings):
        idle, idle_shares = "the main process waits for data", [setting.wait_share or 0.0 for setting in settings]
    message = f"With {names} {what}: {idle} {share_range_text(min(idle_shares), max(idle_shares))} of the time."
    trials = [trial for setting in settings for trial in setting.trials]
    return Finding(code, "info", trials, message, {"stalled_share": [round(share, 4) for share in shares]}, "")


def _lost_text(setting: SettingResult, share: float, of_time: str) -> str:
    if knows_stall(setting):
        bounds = share_bounds_text(setting.gpu_busy_share_low, setting.gpu_busy_share)
        busy = f", is busy {bounds}" if setting.gpu_busy_share is not None else ""
        other = (
            f" and idles for other reasons {share_text(setting.gpu_other_idle_share)}" if setting.gpu_other_idle_share is not None else ""
        )
        return f"the GPU idles for want of data {share_text(share)} {of_time}{busy}{other}"
    waits = f"the main process waits for data {share_text(setting.wait_share)} {of_time}"
    if setting.wait_share is not None and share < setting.wait_share:
        return f"{waits}, but the GPU is busy at least {share_text(setting.gpu_busy_share_low)} of the time"
    return waits


def _evidence(setting: SettingResult) -> dict[str, float | None]:
    return {
        "wait_share": setting.wait_share,
        "step_share": setting.step_share,
        "data_stall_share": setting.data_stall_share,
        "gpu_busy_share": setting.gpu_busy_share,
        "gpu_busy_share_low": setting.gpu_busy_share_low,
        "gpu_other_idle_share": setting.gpu_other_idle_share,
    }


def _advice(context: Context, setting: SettingResult) -> str:
    best = context.recommendation
    if best is not None and best.config != setting.config:
        faster = next((other for other in context.settings if other.config == best.config), None)
        if faster is not None and faster.rate is not None and setting.rate is not None:
            gain = faster.rate.value / setting.rate.value
            if gain > 1.05:
                return f"Use {context.name_of(best.config)}: {gain:.1f} times the throughput."
    known = "No measured setting is much faster" if len(context.settings) > 1 else "No other setting was measured"
    if shared_limit_of(context, setting) is not None:
        return f"{known}. {_SHARED_LIMIT}"
    waiting_share = _waiting_cpu_share(context, setting)
    if waiting_share is not None:
        return f"{known}. {_waits_text(waiting_share)}: try more workers than processors, or faster storage."
    return f"{known}: {_CHEAPER_DATASET}."


def _change_at_place(context: Context, recorded: RecordedLoader, setting: SettingResult) -> str:
    """Returns how to change the line that makes the loader of a recorded training."""
    if shared_limit_of(context, setting) is not None:
        return _SHARED_LIMIT
    workers, cpus, waiting_share = setting.config.num_workers, context.usable_cpus or 1, _waiting_cpu_share(context, setting)
    waits = "" if waiting_share is None else f" {_waits_text(waiting_share)}: more workers than processors may pay, or faster storage."
    if workers and workers >= cpus and not waits:
        return f"Each usable core has a worker already: {_CHEAPER_DATASET}."
    change = f"Raise num_workers={workers}" if workers else f"Set num_workers={min(cpus, _FIRST_WORKERS)}"
    return f"{change} of the DataLoader at {recorded.use.name}.{waits}{context.sweep_advice}"


def _waiting_cpu_share(context: Context, setting: SettingResult) -> float | None:
    """Returns the processor time of a fetch as a share of its time, if the dataset waits rather than computes.

    Fetches of a disturbed trial waited for a core.
    """
    known = [trial.signs.fetch_cpu_share for trial in context.trials_of(setting) if trial.signs and not trial.is_disturbed]
    shares = [share for share in known if share is not None]
    return min(shares) if shares and min(shares) < _COMPUTES_FROM else None


def _waits_text(share: float) -> str:
    return f"The dataset waits rather than computes (CPU time is {share_text(share)} of its time)"
