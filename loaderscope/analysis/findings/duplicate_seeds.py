"""Finds random generators that draw the same numbers in each worker, or in each epoch.

A probe has the states of generators at the start of each epoch of a worker and after each of its first batches. Two workers that start
from one state prove nothing: a generator may never be used, may be used once to shuffle shards alike, or may be seeded anew for each
sample. They draw the same numbers if they also pass through the same states later, batch after batch.
"""

from __future__ import annotations

from typing import NamedTuple

from loaderscope.analysis.findings import probed
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.probed_workers import ProbedEpoch, UsedGenerator
from loaderscope.facts.results import TrialResult
from loaderscope.facts.text import enumerated

MIN_STATES = 2
"""So many different states after batches show that numbers are drawn for batches, and not at the start of an epoch alone."""

_SEEDING = {
    "Generator": "info.dataset.{name} = numpy.random.default_rng(info.seed)",
    "RandomState": "info.dataset.{name} = numpy.random.RandomState(info.seed % 2**32)",
    "Random": "info.dataset.{name}.seed(info.seed)",
}
_SEEDING_OF_MODULES = {
    "numpy.random": "numpy.random.seed(torch.initial_seed() % 2**32)",
    "random": "random.seed(torch.initial_seed())",
}


class _Repeat(NamedTuple):
    """A generator that repeats its numbers."""

    generator: UsedGenerator
    in_workers: bool
    in_epochs: bool
    rows: tuple[ProbedEpoch, ...]


def find(context: Context) -> list[Finding]:
    """Returns one finding about all generators of a probe that repeat their numbers."""
    for trial in context.probes:
        repeats = _repeats(trial, has_new_workers=not probed.keeps_workers(context))
        if repeats:
            return [_about(context, trial, repeats)]
    return []


def _repeats(trial: TrialResult, has_new_workers: bool) -> list[_Repeat]:
    """Returns the generators that repeat in workers, or in epochs of new workers although each worker has a state of its own."""
    epochs = probed.epochs_of_probe(trial)
    if not epochs:
        return []
    first, second = epochs[0][0], epochs[0][1]
    later = next((row for rows in epochs[1:] for row in rows if row.worker == first.worker), None)
    found = []
    for generator in first.generators:
        other, again = _named(second, generator.name), None if later is None else _named(later, generator.name)
        in_workers = other is not None and _draw_alike(generator, other)
        is_seeded_by_worker = other is not None and other.start != generator.start
        in_epochs = has_new_workers and (in_workers or is_seeded_by_worker) and again is not None and _draw_alike(generator, again)
        if in_workers or in_epochs:
            rows = (first, second) if in_workers or later is None else (first, later)
            found.append(_Repeat(generator, in_workers, in_epochs, rows))
    return found


def _named(row: ProbedEpoch, name: str) -> UsedGenerator | None:
    return next((generator for generator in row.generators if generator.name == name), None)


def _draw_alike(one: UsedGenerator, other: UsedGenerator) -> bool:
    states, other_states = set(one.states), set(other.states)
    draws_on = min(len(states), len(other_states)) >= MIN_STATES
    return one.start == other.start and draws_on and bool((states & other_states) - {one.start})


def _about(context: Context, trial: TrialResult, repeats: list[_Repeat]) -> Finding:
    first = repeats[0]
    init_place = first.rows[0].init_place
    names = enumerated([f"{repeat.generator.name}{probed.at(repeat.generator.place)}" for repeat in repeats])
    is_of_dataset = bool(first.generator.kind)
    where = [
        *(["in every worker"] if any(repeat.in_workers for repeat in repeats) else []),
        *(["in every epoch"] if any(repeat.in_epochs for repeat in repeats) else []),
    ]
    cause = "each worker gets a copy of the dataset with the generator as it was" if is_of_dataset else "it is seeded alike"
    if not is_of_dataset and init_place is not None:
        cause = f"worker_init_fn{probed.at(init_place)} seeds it alike"
    is_iterable = any(row.hashed_samples is not None for row in first.rows)
    return Finding(
        code="duplicate-seeds",
        severity="info" if is_iterable else probed.severity_with_workers(context),  # a stream may need equal numbers to share out alike
        trials=[trial.id],
        message=f"The random numbers of {names} are the same {' and '.join(where)}: {cause}.",
        evidence={
            "generators": [repeat.generator.name for repeat in repeats],
            "places": [repeat.generator.place for repeat in repeats],
            "in_workers": any(repeat.in_workers for repeat in repeats),
            "in_epochs": any(repeat.in_epochs for repeat in repeats),
            "equal_states": len(set(first.generator.states)),
            "min_states": MIN_STATES,
            "worker_init_fn": init_place,
        },
        advice="Seed it in worker_init_fn from info.seed, which differs for each worker and each epoch.",
        places=probed.places_of(trial, first.rows),
        change=_seeding(first.generator),
    )


def _seeding(generator: UsedGenerator) -> str:
    if generator.kind:
        seed = _SEEDING.get(generator.kind, "info.dataset.{name}.manual_seed(info.seed)").format(name=generator.name)
        return f"def worker_init_fn(worker_id):\n    info = torch.utils.data.get_worker_info()\n    {seed}"
    seed = _SEEDING_OF_MODULES.get(generator.name, "")
    return f"def worker_init_fn(worker_id):\n    {seed}" if seed else ""
