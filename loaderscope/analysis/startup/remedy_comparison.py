"""Compares the seconds that each remedy saves: predicted from trials without the remedy, and measured from trials with it.

Predictions never use a trial with the remedy:

* Persistent workers save every epoch after the first the start and the shutdown. Until its first batch, a warm epoch still costs
  one fetch while all workers fetch, which any trial shows.
* A fork server that has preloaded modules saves each worker the time to import them while all workers import at once (see
  `startup_savings.first_batch_saving_s`). Fresh imports also slow what follows: a pass of Python's garbage collector over all
  imported objects falls into the entry of the loop, the first fetch or the send. Forked workers do not pay that, so their times
  show how much preloading saves there.
* The fork server's own start takes longer by the import of these modules, once and undisturbed. A control without any loader
  measures that before each trial with such a server. A worker's import does not: other workers import beside it, and Loaderscope
  times its modules.
* Fork saves a worker its interpreter, its imports and the unpickling.

Starts are compared by their means, so that a disturbance of one start without the remedy changes prediction and measurement alike.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from functools import partial

from loaderscope.analysis.startup.start_costs import Group, first_batch_seconds, server_seconds, start_seconds
from loaderscope.analysis.startup.startup_savings import (
    SavedByWorker,
    first_batch_saving_s,
    loop_entry_seconds,
    seconds_from_first_fetch,
    seconds_until_unpickled,
    spared_import_seconds,
)
from loaderscope.facts.results import TrialResult
from loaderscope.facts.startup_results import Control
from loaderscope.facts.text import duration_text, enumerated

TOLERANCE_SHARE, TOLERANCE_S = 0.10, 0.1
"""A prediction agrees if it differs from the measurement by at most this share of the larger figure, or these seconds."""


@dataclasses.dataclass(frozen=True)
class ComparedSetting:
    """The fields in which settings of the experiment differ."""

    start_method: str | None
    preload: list[str]
    num_workers: int
    persistent_workers: bool


@dataclasses.dataclass(frozen=True)
class Remedy:
    """Seconds that a change of setting saves.

    Attributes:
        name: persistent_workers, forkserver_preload or start_method.
        config: the setting with the remedy.
        against: the setting without the remedy.
        predicted_s: from trials without the remedy and the controls; None if these do not show it.
        measured_s: from the trials of both settings; None if one of them has no trials.
        text: all that in a sentence.
        with_server: whether both figures include the fork server's own start.
        over_epochs: epochs over which the seconds are saved: those of the experiment for persistent workers, else 1.
        per_epoch_s: seconds saved in an epoch, for persistent workers: measured, else predicted.
        noise_s: spread of the starts behind the measured figure.
        agrees: whether prediction and measurement agree within 10 % of the larger or 0.1 s.
    """

    name: str
    config: ComparedSetting
    against: ComparedSetting
    predicted_s: float | None
    measured_s: float | None
    text: str
    with_server: bool = False
    over_epochs: int = 1
    per_epoch_s: float | None = None
    noise_s: float | None = None
    agrees: bool | None = None


def within_tolerance(predicted_s: float | None, measured_s: float | None) -> bool | None:
    """Whether two figures agree; None if one is missing."""
    if predicted_s is None or measured_s is None:
        return None
    return abs(predicted_s - measured_s) <= max(TOLERANCE_S, TOLERANCE_SHARE * max(abs(predicted_s), abs(measured_s)))


def compared_setting(one: Group) -> ComparedSetting:
    config = one.config
    return ComparedSetting(config.start_method, list(config.forkserver_preload or ()), config.num_workers, bool(config.persistent_workers))


def compared_setting_text(setting: ComparedSetting) -> str:
    """Returns the setting in words, e.g. `4 workers under spawn`."""
    if not setting.num_workers:
        return "0 workers"
    words = f"{setting.num_workers} worker{'' if setting.num_workers == 1 else 's'} under {setting.start_method}"
    if setting.preload:
        words += f" with {enumerated(setting.preload)} preloaded"
    return words


def compare_remedies(groups: Sequence[Group], controls: list[Control], train_epochs: int) -> list[Remedy]:
    """Returns the remedies for all settings that were run without them, measured if the setting with the remedy was run, too."""
    plain = [one for one in groups if one.config.num_workers and not one.config.persistent_workers and not one.config.forkserver_preload]
    found: list[Remedy] = []
    for one in plain:
        found += _persistent_workers_remedies(one, _find_group(groups, one, persistent_workers=True), train_epochs)
    for one in plain:
        if one.config.start_method == "forkserver":
            for other in groups:
                if other.config.forkserver_preload and _differs_only_in(other, one, forkserver_preload=other.config.forkserver_preload):
                    found += _preload_remedies(one, other, groups, controls)
    for one in plain:
        fork = _find_group(groups, one, start_method="fork")
        if one.config.start_method != "fork" and fork is not None:
            found.append(_fork_remedy(one, fork))
    return found


def _find_group(groups: Sequence[Group], one: Group, **changes: object) -> Group | None:
    return next((other for other in groups if _differs_only_in(other, one, **changes)), None)


def _differs_only_in(other: Group, one: Group, **changes: object) -> bool:
    return other.config == dataclasses.replace(one.config, **changes)  # type: ignore[arg-type]


def warm_epoch_seconds(one: Group) -> float | None:
    """Returns the seconds that an epoch with running workers waits for its first batch: a fetch while all workers fetch."""
    return one.median(lambda t: None if t.signs is None or t.signs.fetch_s is None else t.signs.fetch_s + (t.signs.collate_s or 0.0))


def _persistent_workers_remedies(one: Group, other: Group | None, train_epochs: int) -> list[Remedy]:
    further = min(len(trial.epochs) for trial in one.trials) - 1
    if further < 1:
        return []
    warm_s, without_s = warm_epoch_seconds(one), one.median(_later_epoch_seconds)
    predicted = without_s - further * warm_s if warm_s is not None and without_s is not None else None
    with_s = other.median(_later_epoch_seconds) if other is not None else None
    measured = without_s - with_s if without_s is not None and with_s is not None else None
    best = measured if measured is not None else predicted
    per_epoch = None if best is None else best / further
    against = compared_setting(one)
    config = dataclasses.replace(against, persistent_workers=True)
    text = _sentence(f"Persistent workers save {compared_setting_text(against)}", predicted, measured, f"over {further + 1} epochs")
    if per_epoch is not None and per_epoch > 0:
        text += f" Over {train_epochs} epochs that is {duration_text(per_epoch * (train_epochs - 1))}."
    row = Remedy("persistent_workers", config, against, predicted, measured, text, over_epochs=further + 1, per_epoch_s=per_epoch)
    return [dataclasses.replace(row, noise_s=_spread_s(one) * further, agrees=within_tolerance(predicted, measured))]


def _later_epoch_seconds(trial: TrialResult) -> float:
    """Returns all that persistent workers could save: first batches of later epochs, and the ends of the epochs before them."""
    ends = [epoch.end_s or 0.0 for epoch in trial.epochs]
    return sum(first_batch_seconds(trial)[1:]) + sum(ends[:-1])


def _preload_remedies(one: Group, other: Group, groups: Sequence[Group], controls: list[Control]) -> list[Remedy]:
    modules = list(other.config.forkserver_preload or ())
    entry_s, fetch_s = _delays_left_by_imports(one, _find_group(groups, one, start_method="fork"))
    predicted = _mean_of_known(
        first_batch_saving_s(trial, epoch, _with_extra(entry_s, partial(spared_import_seconds, trial, epoch, modules=modules)))
        for trial in one.trials
        for epoch in range(len(trial.epochs))
    )
    predicted = None if predicted is None else predicted + fetch_s
    cost_s = _server_cost_s(groups, other, controls)
    with_server = predicted - cost_s if predicted is not None and cost_s is not None else None
    measured = _mean_start_s(one) - _mean_start_s(other)
    server_starts, plain_starts = _server_start_seconds(groups, other), _server_start_seconds(groups, one)
    server_s = _mean_of_quicker_half(server_starts) - _mean_of_quicker_half(plain_starts)
    against, config = compared_setting(one), compared_setting(other)
    what = f"Preloading {enumerated(modules)} in the fork server saves {compared_setting_text(against)}"
    noise = max(_spread_s(one), _spread_s(other))
    rows = []
    for guess, fact, counted in ((predicted, measured, False), (with_server, measured - server_s, True)):
        when = "the first time, the server's own start counted" if counted else "each time they start"
        text = _sentence(what, guess, fact, when)
        row = Remedy("forkserver_preload", config, against, guess, fact, text, with_server=counted)
        slack_s = noise + max(server_starts) - min(server_starts) if counted else noise
        rows.append(dataclasses.replace(row, noise_s=slack_s, agrees=within_tolerance(guess, fact)))
    return rows


def _mean_start_s(one: Group) -> float:
    return statistics.fmean(seconds for trial in one.trials for seconds in start_seconds(trial))


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _server_start_seconds(groups: Sequence[Group], one: Group) -> list[float]:
    """Returns the starts of all fork servers with the same preloads; they do not depend on the number of workers."""
    return [server_seconds(trial, 0) for other in groups if other.kind == one.kind for trial in other.trials]


def _server_cost_s(groups: Sequence[Group], one: Group, controls: list[Control]) -> float | None:
    """Returns by how many seconds such preloading delays a server without any loader: measured before each trial, else before all."""
    startups = [trial.startup for other in groups if other.kind == one.kind for trial in other.trials]
    beside = [startup.preload_import_s for startup in startups if startup is not None and startup.preload_import_s is not None]
    return _mean_of_quicker_half(beside) if beside else _preload_cost_s(controls, one.config.forkserver_preload or ())


def _preload_cost_s(controls: Sequence[Control], modules: Sequence[str]) -> float | None:
    """Seconds by which a fork server that preloads starts later while nothing else runs; None where no control measured that."""
    return next((control.import_s for control in controls if control.modules == list(modules)), None)


def _mean_of_quicker_half(seconds: Sequence[float]) -> float:
    """Returns the mean of the quicker half of a server's starts: other programs only slow starts, and the quickest may be luck."""
    return statistics.mean(sorted(seconds)[: (len(seconds) + 1) // 2])


def _with_extra(seconds: float, saved: SavedByWorker) -> SavedByWorker:
    """Returns `saved` with more seconds for every worker with a known saving."""

    def more(worker: str) -> float | None:
        known = saved(worker)
        return None if known is None else known + seconds

    return more


def _delays_left_by_imports(one: Group, fork: Group | None) -> tuple[float, float]:
    """Returns how much slower than forked workers those with fresh imports are, in s: to enter the loop, and from the first fetch on.

    If fork was not run, they are compared with a warm epoch, in which no worker enters its loop; the dataset's other one-time work is
    missing from that, too.
    """
    own_entry_s, own_fetch_s = one.median(loop_entry_seconds) or 0.0, one.median(seconds_from_first_fetch)
    entry_s = (fork.median(loop_entry_seconds) or 0.0) if fork is not None else 0.0
    usual_s = fork.median(seconds_from_first_fetch) if fork is not None else warm_epoch_seconds(one)
    longer_s = own_fetch_s - usual_s if own_fetch_s is not None and usual_s is not None else 0.0
    return max(0.0, own_entry_s - entry_s), max(0.0, longer_s)


def _fork_remedy(one: Group, fork: Group) -> Remedy:
    entry_s, fetch_s = _delays_left_by_imports(one, None)
    predicted = _mean_of_known(
        first_batch_saving_s(trial, epoch, _with_extra(entry_s, partial(seconds_until_unpickled, trial, epoch)))
        for trial in one.trials
        for epoch in range(len(trial.epochs))
    )
    predicted = None if predicted is None else predicted + fetch_s
    measured = _mean_start_s(one) - _mean_start_s(fork)
    against, config = compared_setting(one), compared_setting(fork)
    text = _sentence(f"Fork saves {compared_setting_text(against)}", predicted, measured, "each time they start")
    row = Remedy("start_method", config, against, predicted, measured, text)
    return dataclasses.replace(row, noise_s=max(_spread_s(one), _spread_s(fork)), agrees=within_tolerance(predicted, measured))


def _spread_s(one: Group) -> float:
    """Returns the slowest start of a setting minus its quickest."""
    every_start = [seconds for trial in one.trials for seconds in start_seconds(trial)]
    return max(every_start) - min(every_start)


def _sentence(what: str, predicted: float | None, measured: float | None, when: str) -> str:
    if measured is None and predicted is None:
        return f"{what}: not known."
    if measured is None:
        return f"{what} {_signed_text(predicted)} {when}, as predicted; it was not measured."
    guess = "no prediction" if predicted is None else f"predicted {_signed_text(predicted)}"
    return f"{what} {_signed_text(measured)} {when} ({guess})."


def _signed_text(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return duration_text(seconds) if seconds >= 0 else f"minus {duration_text(-seconds)}"
