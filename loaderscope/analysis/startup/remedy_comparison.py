"""What would make starts cheaper: predicted from the trials without the remedy, then measured beside it.

Predictions never look at a trial that has the remedy:

* Persistent workers spare every epoch after the first the start and the shutdown; what a warm epoch still costs until its
  first batch is one fetch while all workers fetch, which any trial shows.
* A fork server that has preloaded modules spares each worker the time in which it imports these, while all workers import at
  once (see `analysis.sooner`). What fresh imports leave for the time after them (a pass of Python's garbage collector over all
  that was imported falls into the entry of the loop, the first fetch or send) is what forked workers lack there.
* Its own start takes longer by the import of these modules, once and alone: as in a control without any loader that is run
  before each trial with such a server. A worker's import is no measure of that: others import beside it, and Loaderscope times
  its modules.
* Fork spares a worker its interpreter, its imports and the unpickling of what it is sent.

Of starts means are compared: what slows one without the remedy then counts alike in the figure measured and in the one predicted.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from functools import partial

from loaderscope.analysis.startup.start_costs import Group, first_batches, server_seconds, starts
from loaderscope.analysis.startup.startup_savings import Saved, from_fetch_on, loop_entry, sooner, spared_imports, until_there
from loaderscope.facts.results import Control, TrialResult
from loaderscope.facts.text import duration_text, enumerated

TOLERANCE_SHARE, TOLERANCE_S = 0.10, 0.1
"""A prediction agrees within this share of the larger figure, or within these seconds."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting of the experiment, as far as its settings differ."""

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
        against: the setting that it is compared with.
        predicted_s: from trials without the remedy and the controls; None where these do not tell.
        measured_s: from the trials of both settings; None where one of them has none.
        text: all that in a sentence.
        with_server: whether the fork server's own start is taken into account (of both).
        over_epochs: epochs over which the seconds are saved: those of the experiment for persistent workers, else one start.
        per_epoch_s: measured seconds an epoch, for persistent workers (as predicted where nothing was measured).
        noise_s: how far the starts behind the measured figure lie apart.
        agrees: whether prediction and measurement agree within 10 % of the larger or 0.1 s.
    """

    name: str
    config: Setting
    against: Setting
    predicted_s: float | None
    measured_s: float | None
    text: str
    with_server: bool = False
    over_epochs: int = 1
    per_epoch_s: float | None = None
    noise_s: float | None = None
    agrees: bool | None = None


def agree(predicted_s: float | None, measured_s: float | None) -> bool | None:
    """Whether two figures agree; None where one is missing."""
    if predicted_s is None or measured_s is None:
        return None
    return abs(predicted_s - measured_s) <= max(TOLERANCE_S, TOLERANCE_SHARE * max(abs(predicted_s), abs(measured_s)))


def setting_of(one: Group) -> Setting:
    config = one.config
    return Setting(config.start_method, list(config.forkserver_preload or ()), config.num_workers, bool(config.persistent_workers))


def in_words(setting: Setting) -> str:
    """The setting, e.g. `4 workers under spawn`."""
    if not setting.num_workers:
        return "0 workers"
    words = f"{setting.num_workers} worker{'' if setting.num_workers == 1 else 's'} under {setting.start_method}"
    if setting.preload:
        words += f" with {enumerated(setting.preload)} preloaded"
    return words


def find_remedies(groups: Sequence[Group], controls: list[Control], train_epochs: int) -> list[Remedy]:
    """All remedies whose settings were run, or at least the settings that they are compared with."""
    plain = [one for one in groups if one.config.num_workers and not one.config.persistent_workers and not one.config.forkserver_preload]
    found: list[Remedy] = []
    for one in plain:
        found += _persistent(one, _find(groups, one, persistent_workers=True), train_epochs)
    for one in plain:
        if one.config.start_method == "forkserver":
            for other in groups:
                if other.config.forkserver_preload and _like(other, one, forkserver_preload=other.config.forkserver_preload):
                    found += _preload(one, other, groups, controls)
    for one in plain:
        fork = _find(groups, one, start_method="fork")
        if one.config.start_method != "fork" and fork is not None:
            found.append(_fork(one, fork))
    return found


def _find(groups: Sequence[Group], one: Group, **changes: object) -> Group | None:
    return next((other for other in groups if _like(other, one, **changes)), None)


def _like(other: Group, one: Group, **changes: object) -> bool:
    return other.config == dataclasses.replace(one.config, **changes)  # type: ignore[arg-type]


def warm_epoch_seconds(one: Group) -> float | None:
    """What an epoch of workers that already run waits for its first batch: a fetch while all of them fetch."""
    return one.median(lambda t: None if t.signs is None or t.signs.fetch_s is None else t.signs.fetch_s + (t.signs.collate_s or 0.0))


def _persistent(one: Group, other: Group | None, train_epochs: int) -> list[Remedy]:
    further = min(len(trial.epochs) for trial in one.trials) - 1
    if further < 1:
        return []
    warm_s, without_s = warm_epoch_seconds(one), one.median(_later_epochs)
    predicted = without_s - further * warm_s if warm_s is not None and without_s is not None else None
    with_s = other.median(_later_epochs) if other is not None else None
    measured = without_s - with_s if without_s is not None and with_s is not None else None
    best = measured if measured is not None else predicted
    per_epoch = None if best is None else best / further
    against = setting_of(one)
    config = dataclasses.replace(against, persistent_workers=True)
    text = _sentence(f"Persistent workers save {in_words(against)}", predicted, measured, f"over {further + 1} epochs")
    if per_epoch is not None and per_epoch > 0:
        text += f" Over {train_epochs} epochs that is {duration_text(per_epoch * (train_epochs - 1))}."
    row = Remedy("persistent_workers", config, against, predicted, measured, text, over_epochs=further + 1, per_epoch_s=per_epoch)
    return [dataclasses.replace(row, noise_s=_noise(one) * further, agrees=agree(predicted, measured))]


def _later_epochs(trial: TrialResult) -> float:
    """What the epochs after the first wait for their first batches, and the ends before them: all that could be saved."""
    ends = [epoch.end_s or 0.0 for epoch in trial.epochs]
    return sum(first_batches(trial)[1:]) + sum(ends[:-1])


def _preload(one: Group, other: Group, groups: Sequence[Group], controls: list[Control]) -> list[Remedy]:
    modules = list(other.config.forkserver_preload or ())
    entry_s, fetch_s = _left_by_imports(one, _find(groups, one, start_method="fork"))
    predicted = _mean(
        sooner(trial, epoch, _plus(entry_s, partial(spared_imports, trial, epoch, modules=modules)))
        for trial in one.trials
        for epoch in range(len(trial.epochs))
    )
    predicted = None if predicted is None else predicted + fetch_s
    cost_s = _server_cost(groups, other, controls)
    with_server = predicted - cost_s if predicted is not None and cost_s is not None else None
    measured = _start(one) - _start(other)
    server_starts, plain_starts = _server_starts(groups, other), _server_starts(groups, one)
    server_s = _quicker_half(server_starts) - _quicker_half(plain_starts)
    against, config = setting_of(one), setting_of(other)
    what = f"Preloading {enumerated(modules)} in the fork server saves {in_words(against)}"
    noise = max(_noise(one), _noise(other))
    rows = []
    for guess, fact, counted in ((predicted, measured, False), (with_server, measured - server_s, True)):
        when = "the first time, the server's own start counted" if counted else "each time they start"
        text = _sentence(what, guess, fact, when)
        row = Remedy("forkserver_preload", config, against, guess, fact, text, with_server=counted)
        slack_s = noise + max(server_starts) - min(server_starts) if counted else noise
        rows.append(dataclasses.replace(row, noise_s=slack_s, agrees=agree(guess, fact)))
    return rows


def _start(one: Group) -> float:
    return statistics.fmean(seconds for trial in one.trials for seconds in starts(trial))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _server_starts(groups: Sequence[Group], one: Group) -> list[float]:
    """The starts of all fork servers that preload what this one does: they do not depend on the number of workers."""
    return [server_seconds(trial, 0) for other in groups if other.kind == one.kind for trial in other.trials]


def _server_cost(groups: Sequence[Group], one: Group, controls: list[Control]) -> float | None:
    """By how much servers that preload this start later without any loader: before each trial, else before all."""
    startups = [trial.startup for other in groups if other.kind == one.kind for trial in other.trials]
    beside = [startup.preload_import_s for startup in startups if startup is not None and startup.preload_import_s is not None]
    return _quicker_half(beside) if beside else _preload_cost_s(controls, one.config.forkserver_preload or ())


def _preload_cost_s(controls: Sequence[Control], modules: Sequence[str]) -> float | None:
    """Seconds by which a fork server that preloads starts later while nothing else runs; None where no control measured that."""
    return next((control.import_s for control in controls if control.modules == list(modules)), None)


def _quicker_half(seconds: Sequence[float]) -> float:
    """The mean of the quicker half of some starts of a server alone: what else runs on the machine only slows, and one may be luck."""
    return statistics.mean(sorted(seconds)[: (len(seconds) + 1) // 2])


def _plus(seconds: float, saved: Saved) -> Saved:
    """As much more for every worker of which something is known."""

    def more(worker: str) -> float | None:
        known = saved(worker)
        return None if known is None else known + seconds

    return more


def _left_by_imports(one: Group, fork: Group | None) -> tuple[float, float]:
    """Seconds that workers that have imported take longer than forked ones: to enter their loop, and from their first fetch on.

    Where fork was not run, than in a warm epoch, in which no loop is entered, and which also lacks whatever else the dataset does once.
    """
    own_entry_s, own_fetch_s = one.median(loop_entry) or 0.0, one.median(from_fetch_on)
    entry_s = (fork.median(loop_entry) or 0.0) if fork is not None else 0.0
    usual_s = fork.median(from_fetch_on) if fork is not None else warm_epoch_seconds(one)
    longer_s = own_fetch_s - usual_s if own_fetch_s is not None and usual_s is not None else 0.0
    return max(0.0, own_entry_s - entry_s), max(0.0, longer_s)


def _fork(one: Group, fork: Group) -> Remedy:
    entry_s, fetch_s = _left_by_imports(one, None)
    predicted = _mean(
        sooner(trial, epoch, _plus(entry_s, partial(until_there, trial, epoch)))
        for trial in one.trials
        for epoch in range(len(trial.epochs))
    )
    predicted = None if predicted is None else predicted + fetch_s
    measured = _start(one) - _start(fork)
    against, config = setting_of(one), setting_of(fork)
    text = _sentence(f"Fork saves {in_words(against)}", predicted, measured, "each time they start")
    row = Remedy("start_method", config, against, predicted, measured, text)
    return dataclasses.replace(row, noise_s=max(_noise(one), _noise(fork)), agrees=agree(predicted, measured))


def _noise(one: Group) -> float:
    """How far single starts of a setting lie from each other."""
    every_start = [seconds for trial in one.trials for seconds in starts(trial)]
    return max(every_start) - min(every_start)


def _sentence(what: str, predicted: float | None, measured: float | None, when: str) -> str:
    if measured is None:
        return f"{what} {_signed(predicted)} {when}, as predicted; it was not measured." if predicted is not None else f"{what}: not known."
    guess = "no prediction" if predicted is None else f"predicted {_signed(predicted)}"
    return f"{what} {_signed(measured)} {when} ({guess})."


def _signed(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return duration_text(seconds) if seconds >= 0 else f"minus {duration_text(-seconds)}"
