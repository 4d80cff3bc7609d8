"""Explains gains above the number of workers: without workers a fetch runs with all of torch's threads, in a worker with one."""

from __future__ import annotations

from collections.abc import Callable

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.intervals import mean
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.settings import same_but
from loaderscope.facts.text import duration_text, share_text

MIN_EXCESS = 1.2
"""The gain must exceed the number of workers by this factor, and a fetch in main must take so much longer than one in a worker."""

MIN_OTHER_THREADS_SHARE = 0.2
"""Main's threads matter if others than the one that fetches take this share of its processor time."""


def find(context: Context) -> list[Finding]:
    """Returns one finding about the setting without workers, if one thread of torch would explain what workers gain."""
    without = [setting for setting in context.settings if not setting.config.num_workers and setting.config.threads is None]
    pairs = [pair for setting in without if (pair := _pair(context, setting)) is not None]
    if not pairs:
        return []
    plain, other = max(pairs, key=lambda pair: _ratio(*pair))
    share, in_main_s, in_worker_s = (
        _mean(context, plain, _other_threads_share),
        _mean(context, plain, _fetch_s),
        _mean(context, other, _fetch_s),
    )
    assert share is not None and in_main_s is not None and in_worker_s is not None
    workers = "one worker" if other.config.num_workers == 1 else f"{other.config.num_workers} workers"
    names = context.name_of(other.config), context.name_of(plain.config)
    single = next((one for one in context.settings if one.config.threads == 1 and same_but("threads", one.config, plain.config)), None)
    return [
        Finding(
            code="main-threads",
            severity="info",
            trials=[*plain.trials, *other.trials, *(single.trials if single is not None else ())],
            message=(
                f"{names[0]} is {_ratio(plain, other):.1f} times as fast as {names[1]}, more than {workers} can add. Without workers a "
                f"fetch runs with all of torch's threads in main (the others take {share_text(share)} of its processor time) and takes "
                f"{duration_text(in_main_s)}; in a worker it has one thread and takes {duration_text(in_worker_s)}."
                + ("" if single is None else _measured_text(context, plain, single))
            ),
            evidence={
                "throughput_ratio": round(_ratio(plain, other), 4),
                "other_threads_share": round(share, 4),
                "fetch_s": round(in_main_s, 6),
                "fetch_in_worker_s": round(in_worker_s, 6),
                "compared_with": other.config.to_json(),
            },
            advice=("Try --threads 1: in your script that is torch.set_num_threads(1), which holds for the step, too. Or keep workers."),
        )
    ]


def _pair(context: Context, plain: SettingResult) -> tuple[SettingResult, SettingResult] | None:
    """Returns the setting without workers and the one with which it is to be compared, if main's threads explain the difference."""
    share, in_main_s = _mean(context, plain, _other_threads_share), _mean(context, plain, _fetch_s)
    if share is None or in_main_s is None or share < MIN_OTHER_THREADS_SHARE:
        return None
    others = [
        other
        for other in context.settings
        if other.config.backend == "process"
        and (other.config.batch_size, other.config.threads) == (plain.config.batch_size, None)
        and _ratio(plain, other) > MIN_EXCESS * other.config.num_workers
        and (in_worker_s := _mean(context, other, _fetch_s)) is not None
        and in_main_s > MIN_EXCESS * in_worker_s
    ]
    return (plain, max(others, key=lambda other: _ratio(plain, other) / other.config.num_workers)) if others else None


def _ratio(plain: SettingResult, other: SettingResult) -> float:
    rate, compared = other.rate, plain.rate
    return rate.value / compared.value if rate is not None and compared is not None and compared.value else 0.0


def _measured_text(context: Context, plain: SettingResult, single: SettingResult) -> str:
    return f" With one thread, {context.name_of(single.config)} is {_ratio(plain, single):.1f} times as fast."


def _mean(context: Context, setting: SettingResult, figure: Callable[[TrialResult], float | None]) -> float | None:
    known = [value for trial in context.trials_of(setting) if (value := figure(trial)) is not None]
    return mean(known) if known else None


def _other_threads_share(trial: TrialResult) -> float | None:
    return trial.signs.other_threads_share if trial.signs is not None else None


def _fetch_s(trial: TrialResult) -> float | None:
    return trial.signs.fetch_s if trial.signs is not None else None
