"""Recommends a setting: the one with the shortest projected training, and among ties the cheapest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.combine_repeats import MIN_REPEATS_INTERVAL
from loaderscope.analysis.disturbance import lost_share
from loaderscope.analysis.intervals import half_width, mean
from loaderscope.analysis.training import Training, train_seconds
from loaderscope.facts.results import Recommendation, SettingResult, TrialResult
from loaderscope.facts.settings import find_matching, same_but, setting_text
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import duration_text, enumerated

KNEE_SHARE = 0.95
"""The knee is the fewest workers that reach this share of the best throughput."""

NEGLIGIBLE_SHARE = 0.01
"""A smaller gain is a tie, however small the noise: it is not worth a worker."""

SINGLE_RUN_NOISE_SHARE = 0.03
"""Runs of one setting that waits for data differ by 1 to 5 %, which an interval within one run does not show."""

UNKNOWN_NOISE_SHARE = 0.05

DISTURBED = " This rests on trials that other programs disturbed."

THREADS_LEFT_OUT = " Threads are left out of this: DataLoader has no setting for them."

MAX_TIE_EXCESS_SHARE = 0.25
"""A tie may take this share longer than the fastest setting and still be chosen for its cost. Beyond it the noise may hide a
difference that matters, and the shorter time is the better guess."""


def recommend(  # noqa: PLR0917
    settings: Sequence[SettingResult],
    trials: Sequence[TrialResult],
    current: TrialConfig | None,
    usable_cpus: int,
    gpu_count: int,
    training: Training,
) -> Recommendation | None:
    """Returns the recommendation, or None if no setting has a projected training time.

    A setting that failed in any of its repeats is not recommended, nor are threads: DataLoader has no setting for them.

    Args:
        settings: from `combine_repeats.combine`.
        trials: all trials of the run, so that repeats of two settings can be compared pair by pair.
        current: the user's own setting, if it is known.
        usable_cpus: the number of workers that torch's warning suggests.
        gpu_count: for the rule of thumb of four workers a GPU.
        training: the user's training.
    """
    unreliable = {trial.config for trial in trials if status_of(trial.status).is_failure}
    candidates = [setting for setting in settings if setting.config.backend != "thread"]
    timed = [setting for setting in candidates if setting.train_s is not None and setting.config not in unreliable]
    if not timed:
        return None
    fastest = min(timed, key=lambda setting: setting.train_s or math.inf)
    by_repeat = _seconds_by_repeat(trials, training)
    lost = _lost_shares(trials)
    ties = [setting for setting in timed if setting is fastest or is_tie(setting, fastest, by_repeat, lost)]
    chosen = min((tie for tie in ties if (tie.train_s or 0.0) <= (1 + MAX_TIE_EXCESS_SHARE) * (fastest.train_s or 0.0)), key=_cost_key)
    configs = [setting.config for setting in timed]
    own = find_matching(current, configs)
    return Recommendation(
        config=chosen.config,
        fastest=fastest.config,
        ties=[setting.config for setting in ties if setting is not chosen],
        knee=find_knee(timed, fastest.config),
        current=own or current,
        rule_of_thumb=4 * gpu_count if gpu_count else None,
        torch_suggested=usable_cpus,
        why=_why(
            chosen,
            fastest=fastest,
            ties=ties,
            current=next((setting for setting in timed if setting.config == own), None),
            timed=timed,
            training=training,
            alone=len(candidates) == 1,
        )
        + (f" {training.reason}" if training.reason else "")
        + (DISTURBED if lost else "")
        + (THREADS_LEFT_OUT if len(candidates) < len(settings) else ""),
        caveat=_caveat([trial for trial in trials if trial.config in configs], training),
    )


def _caveat(trials: Sequence[TrialResult], training: Training) -> str | None:
    """Returns what later epochs may change, if the training has later epochs and a trial measured only the first."""
    good = [trial for trial in trials if trial.status == "ok" and training.epochs_of(trial) > 1]
    measured = [sum(times.end_s is not None or times.epoch_s is not None for times in trial.epochs) for trial in good]
    if 1 not in measured:
        return None
    where = "Only" if max(measured) == 1 else "Of some settings only"
    return f"{where} one epoch was measured: later ones may be faster, as caches and warm files make them, or slower."


def is_tie(
    setting: SettingResult,
    fastest: SettingResult,
    by_repeat: dict[TrialConfig, dict[int, float]],
    lost: Mapping[TrialConfig, float],
) -> bool:
    """Whether the noise hides the setting's difference from the fastest one, or the difference is too small to matter.

    With three repeats or more of both, the interval of the paired differences decides; else their own intervals decide, widened by
    the noise between runs, which a single run cannot show. A disturbed trial may be wrong by all that it lost, whatever its interval.

    Args:
        setting: any setting with a time.
        fastest: the one with the shortest time.
        by_repeat: seconds of the training by repeat, for each setting.
        lost: the share of its cores that each disturbed setting lost to other programs.
    """
    setting_s, fastest_s = setting.train_s or 0.0, fastest.train_s or 0.0
    if setting_s - fastest_s <= NEGLIGIBLE_SHARE * fastest_s:
        return True
    own, other = by_repeat.get(setting.config, {}), by_repeat.get(fastest.config, {})
    differences = [own[repeat] - other[repeat] for repeat in sorted(own.keys() & other.keys())]
    lost_s = math.hypot(lost.get(setting.config, 0.0) * setting_s, lost.get(fastest.config, 0.0) * fastest_s)
    if len(differences) >= MIN_REPEATS_INTERVAL and not lost_s:
        return mean(differences) <= half_width(differences)
    noise_s = math.hypot(_noise_share(setting) * setting_s, _noise_share(fastest) * fastest_s)
    return setting_s - fastest_s <= max(noise_s, lost_s, SINGLE_RUN_NOISE_SHARE * fastest_s)


def find_knee(settings: Sequence[SettingResult], base: TrialConfig) -> TrialConfig | None:
    """Returns the setting with the fewest workers that reaches nearly the best throughput, all else as in `base`.

    None with fewer than three numbers of workers: a curve that short has no knee.
    """
    curve = sorted(
        (setting for setting in settings if same_but("num_workers", setting.config, base) and setting.rate is not None),
        key=lambda setting: setting.config.num_workers,
    )
    if len({setting.config.num_workers for setting in curve}) < 3:
        return None
    rates = [setting.rate.value for setting in curve if setting.rate is not None]
    return next(setting.config for setting, rate in zip(curve, rates, strict=True) if rate >= KNEE_SHARE * max(rates))


def _seconds_by_repeat(trials: Sequence[TrialResult], training: Training) -> dict[TrialConfig, dict[int, float]]:
    found: dict[TrialConfig, dict[int, float]] = {}
    for trial in trials:
        seconds = train_seconds(trial, training)
        if seconds is not None and trial.repeat is not None:
            found.setdefault(trial.config, {})[trial.repeat] = seconds
    return found


def _lost_shares(trials: Sequence[TrialResult]) -> dict[TrialConfig, float]:
    """Returns for each disturbed setting the largest share that its trials lost."""
    shares: dict[TrialConfig, float] = {}
    for trial in trials:
        disturbance = trial.disturbance
        if disturbance is not None and disturbance.is_disturbed:
            shares[trial.config] = max(lost_share(disturbance), shares.get(trial.config, 0.0))
    return shares


def _noise_share(setting: SettingResult) -> float:
    estimates = setting.epoch_s, setting.rate
    of_epoch, of_rate = (None if estimate is None else estimate.relative_half_width for estimate in estimates)
    noise = of_epoch or of_rate
    return UNKNOWN_NOISE_SHARE if noise is None else noise


def _cost_key(setting: SettingResult) -> tuple[float, ...]:
    memory = math.inf if setting.peak_total_bytes is None else setting.peak_total_bytes
    in_flight = setting.config.num_workers * (setting.config.prefetch_factor or 0)
    return setting.config.num_workers, memory, in_flight, setting.train_s or math.inf


def _why(
    chosen: SettingResult,
    *,
    fastest: SettingResult,
    ties: Sequence[SettingResult],
    current: SettingResult | None,
    timed: Sequence[SettingResult],
    training: Training,
    alone: bool,
) -> str:
    name = setting_text(chosen.config)
    verb = "finishes" if chosen.config.num_workers == 1 else "finish"
    text = f"{name} {verb} {training.text} in about {duration_text(chosen.train_s or 0.0)}"
    if len(timed) == 1:
        return f"{text}; no other setting {'was measured' if alone else 'gave a time'}."
    if current is not None and current is not chosen and chosen.train_s:
        ratio = (current.train_s or 0.0) / chosen.train_s
        theirs = setting_text(current.config)
        if current in ties:
            text += f"; your current setting ({theirs}{_far_seconds_text(current, chosen)}) cannot be told from it"
        else:
            digits = 0 if ratio >= 10 else 1 if ratio >= 1.1 else 2
            text += f", {ratio:.{digits}f} times as fast as your current setting ({theirs}, {duration_text(current.train_s or 0.0)})"
    elif current is chosen:
        text += ", and it is your current setting"
    others = [setting for setting in ties if setting is not chosen and setting is not current]
    if others:
        names = enumerated([f"{setting_text(setting.config)}{_far_seconds_text(setting, chosen, ' in ')}" for setting in others])
        text += f"; {names} cannot be told from it{_cost_clause(chosen, others)}"
    elif len(ties) == 1 and chosen is fastest:
        second = min((setting for setting in timed if setting is not chosen), key=lambda setting: setting.train_s or math.inf)
        if second is not current:
            text += f"; the next best is {setting_text(second.config)} with {duration_text(second.train_s or 0.0)}"
    varies_much = any((setting.train_s or 0.0) > (1 + MAX_TIE_EXCESS_SHARE) * (fastest.train_s or 0.0) for setting in ties)
    return text + (". The times vary much; more repeats would tell more." if varies_much else ".")


def _far_seconds_text(setting: SettingResult, chosen: SettingResult, before: str = ", ") -> str:
    """Returns the setting's time if it is so much longer than the chosen one's that a reader would wonder; else an empty text."""
    far = (setting.train_s or 0.0) > (1 + MAX_TIE_EXCESS_SHARE) * (chosen.train_s or 0.0)
    return f"{before}{duration_text(setting.train_s or 0.0)}" if far else ""


def _cost_clause(chosen: SettingResult, others: Sequence[SettingResult]) -> str:
    """Returns why the chosen one of several ties was taken, as a clause; empty if the others cost less and look slower."""
    if min(setting.config.num_workers for setting in others) > chosen.config.num_workers:
        return " and would use more workers" if len(others) == 1 else " and would all use more workers"
    if all(_cost_key(setting) > _cost_key(chosen) for setting in others):
        return " and would cost no less"
    return ""
