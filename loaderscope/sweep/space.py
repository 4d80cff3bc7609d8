"""Plans the trials of a sweep: every combination of the axes, each once, impossible ones skipped, repeats interleaved."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

from loaderscope.agent.messages import Target, TrialConfig
from loaderscope.analysis.startup.preloading import ScriptImport, heavy_modules
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import RemedyToTry, Request
from loaderscope.facts.run import PlannedTrial
from loaderscope.facts.settings import SWEEP_ORDER, normalise
from loaderscope.sweep.experiment import startup_plan

DEFAULT_BATCH_SIZE = 32

Skip = tuple[str, str]
"""Why a setting is not run: the kind of the reason, and a sentence."""

PERSISTENT_WITHOUT_WORKERS = ("unsupported", "Persistent workers need at least one worker.")
PROBE_WORKERS = 2
"""A probe compares workers: two are enough."""
NOTHING_PINNED = "Nothing was pinned, despite pin_memory: torch pins memory only for an accelerator, and finds none here."
"""The note of a trial that `--force` ran without an accelerator."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The facts about machine and interpreter that the plan of a sweep needs."""

    usable_cpus: int
    start_methods: tuple[str, ...]  # of the agent's Python on this system
    default_start_method: str
    accelerator: bool | None = None  # whether torch has one to pin memory for; None: unknown, so pinning is tried
    script_imports: tuple[ScriptImport, ...] = ()  # the heaviest modules that the script imported while it was loaded
    python: str | None = None  # the interpreter's version
    sharing_strategies: tuple[str, ...] = ()  # of torch on this system; empty: unknown


def narrowed(request: Request) -> Request:
    """The request as it is run: a start-up experiment fixes all that it does not vary.

    Raises:
        SweepError: see `as_experiment`.
    """
    return startup_plan.as_experiment(request) if request.startup else request


def plan(request: Request, target: Target, facts: Facts) -> list[PlannedTrial]:
    """Returns the trials of a sweep in the order in which they run.

    A setting that cannot be run has one row, with `repeat` None and the reason.
    """
    settings = _experiment_settings(request, target, facts) if request.startup else settings_of(request, target, facts)
    if request.remedy is not None:
        return _remedy_trials(request.remedy, settings[0], request, target, facts)
    trials: list[PlannedTrial] = []
    repeats = startup_plan.repeats(settings, request)
    rounds = max(repeats.values(), default=0)
    for repeat in range(rounds):
        for config, skip in _order_of_repeat(settings, repeat, rounds):
            if repeat == 0 or (skip is None and repeat < repeats[config]):
                trials.append(PlannedTrial(len(trials), None if skip else repeat, config, skip))
    possible = [config for config, skip in settings if skip is None]
    perfect = _perfect_loaders(request, possible)
    trials += [PlannedTrial(len(trials) + number, 0, config, perfect_loader=True) for number, config in enumerate(perfect)]
    probed = _probed(request, request.current or target.current, possible, facts)
    return trials if probed is None else [*trials, PlannedTrial(len(trials), 0, probed, probe=True)]


def _probed(request: Request, current: TrialConfig | None, configs: list[TrialConfig], facts: Facts) -> TrialConfig | None:
    """Returns the setting of the probe: the user's own if it has workers, else one of the sweep's; None for a sweep without workers.

    Its workers are not persistent: then the second epoch shows what they lose.
    """
    if not request.probe_trial or request.startup or kind_of(request.consumer).is_training or request.gpu_window:
        return None
    with_workers = [config for config in configs if config.num_workers and config.backend == "process"]
    if not with_workers:
        return None
    chosen = min(
        with_workers,
        key=lambda config: (config.start_method != facts.default_start_method, config.num_workers != PROBE_WORKERS, config.num_workers),
    )
    if current is not None and current.num_workers and current.backend != "thread":
        changes = {field: getattr(current, field) for field in ("num_workers", "start_method", "batch_size", "sharing_strategy")}
        chosen = dataclasses.replace(chosen, **{field: value for field, value in changes.items() if value is not None})
        if chosen.start_method not in facts.start_methods:
            return None
    return dataclasses.replace(chosen, persistent_workers=False, pin_memory=False)


def _remedy_trials(
    tried: RemedyToTry, setting: tuple[TrialConfig, Skip | None], request: Request, target: Target, facts: Facts
) -> list[PlannedTrial]:
    """Returns the trials of a setting and of a remedy in turn; every second repeat runs backwards, as in a sweep."""
    config, skip = setting
    kinds = [(config, skip, None), (tried.config, _why_impossible(tried.config, request, target, facts), tried.remedy)]
    trials: list[PlannedTrial] = []
    for repeat in range(request.repeats):
        for one, why_not, remedy in kinds[::-1] if repeat % 2 else kinds:
            if repeat == 0 or why_not is None:
                trials.append(PlannedTrial(len(trials), None if why_not else repeat, one, why_not, remedy=remedy))
    return trials


def _perfect_loaders(request: Request, configs: list[TrialConfig]) -> list[TrialConfig]:
    """Returns the settings with which a perfect loader is measured: all that matters to the consumer, and no workers."""
    if not request.ceiling or request.startup or not kind_of(request.consumer).has_ceiling:
        return []
    return list(
        dict.fromkeys(TrialConfig(0, config.batch_size, pin_memory=config.pin_memory, threads=config.threads) for config in configs)
    )


def settings_of(request: Request, target: Target, facts: Facts) -> list[tuple[TrialConfig, Skip | None]]:
    """All different settings of the sweep, each with the reason why it cannot be run, if there is one."""
    settings: dict[TrialConfig, Skip | None] = {}
    for config in _combinations(request, target, facts):
        skip = _why_impossible(config, request, target, facts)
        normal = normalise(config)
        if facts.sharing_strategies == (config.sharing_strategy,):
            normal = dataclasses.replace(normal, sharing_strategy=None)  # the only one is no choice
        if skip is PERSISTENT_WITHOUT_WORKERS:
            normal = dataclasses.replace(normal, persistent_workers=True)  # the row shows what the user asked for
        settings.setdefault(normal, skip)
    return list(settings.items())


def _experiment_settings(request: Request, target: Target, facts: Facts) -> list[tuple[TrialConfig, Skip | None]]:
    preload = heavy_modules(request, facts.script_imports, facts.python)
    parts = startup_plan.parts(request, facts.start_methods, preload)
    settings = [setting for part in parts for setting in settings_of(part, target, facts)]
    return sorted(settings, key=lambda setting: startup_plan.sort_key(setting[0]))


def default_workers(usable_cpus: int) -> tuple[int, ...]:
    """0, 1, 2, 4 ... and the number of usable processors."""
    powers = itertools.takewhile(lambda workers: workers < usable_cpus, (1 << exponent for exponent in itertools.count()))
    return (0, *powers, usable_cpus)


def _combinations(request: Request, target: Target, facts: Facts) -> Iterator[TrialConfig]:
    """Every combination of the axes; num_workers varies fastest."""
    axes, current = request.axes, target.current
    own_size = current.batch_size if current is not None else None
    if target.kind == "dataset":
        own_size = own_size or DEFAULT_BATCH_SIZE
    own_method = current.start_method if current is not None else None
    defaults: dict[str, tuple[Any, ...]] = {
        "batch_size": (own_size,),
        "start_method": (own_method or facts.default_start_method,),
        "num_workers": default_workers(facts.usable_cpus),
    }
    values = [axis if (axis := getattr(axes, field)) is not None else defaults.get(field, (None,)) for field in SWEEP_ORDER]
    for combination in itertools.product(*values):
        yield TrialConfig(**dict(zip(SWEEP_ORDER, combination, strict=True)), forkserver_preload=request.forkserver_preload or None)


def _why_impossible(config: TrialConfig, request: Request, target: Target, facts: Facts) -> Skip | None:
    axes = request.axes
    if axes.batch_size and target.kind != "dataset" and target.current is not None and target.current.batch_size is None:
        return "unsupported", "The loader makes its batches itself (batch_sampler, or batch_size=None), so no other batch size can be set."
    if pins_nothing(config, facts) and not request.force:
        return "unsupported", "Memory can only be pinned for an accelerator, and torch finds none here; --force runs it all the same."
    if not config.num_workers:
        if config.persistent_workers and False not in axes.persistent_workers:
            return PERSISTENT_WITHOUT_WORKERS
        return None
    if config.backend == "thread":
        if target.dataset_kind == "iterable":
            return "unsupported", "Threads cannot share an iterable dataset: each would need a copy of its own."
        return None
    if config.start_method not in facts.start_methods:
        have = ", ".join(facts.start_methods)
        return "unsupported", f"This system cannot start processes by {config.start_method}; it has {have}."
    if config.sharing_strategy is not None and facts.sharing_strategies and config.sharing_strategy not in facts.sharing_strategies:
        have = ", ".join(facts.sharing_strategies)
        return "unsupported", f"This system cannot share tensors by {config.sharing_strategy}; it has {have}."
    return None


def pins_nothing(config: TrialConfig, facts: Facts) -> bool:
    """Whether a setting asks for pinned memory where torch surely has no accelerator."""
    return config.pin_memory and facts.accelerator is False


def _order_of_repeat(settings: list[tuple[TrialConfig, Skip | None]], repeat: int, repeats: int) -> list[tuple[TrialConfig, Skip | None]]:
    """The settings in the order of one repeat.

    Every second repeat runs backwards, which cancels a steady drift of the machine. Every pair of repeats begins at another setting, so
    that no setting is always first after a pause.
    """
    pairs = (repeats + 1) // 2
    begin = (repeat // 2) * len(settings) // max(pairs, 1)
    rotated = settings[begin:] + settings[:begin]
    return rotated[::-1] if repeat % 2 else rotated
