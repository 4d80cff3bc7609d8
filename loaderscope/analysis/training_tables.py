"""The tables that the terminal and the report show of a recorded training.

All functions read parts of its JSON document, so that a session that was only read looks like one just recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from loaderscope.analysis.intervals import mean
from loaderscope.analysis.text_table import Column, TextTable
from loaderscope.facts.lanes import OPTIMIZER_STEP
from loaderscope.facts.measures import FIRST_BATCH
from loaderscope.facts.text import MISSING, count_text, duration_text, grouped_text, rate_text, share_text

Row = dict[str, Any]

MOST_EPOCHS = 8
FIRST_EPOCHS, LAST_EPOCHS = 4, 3
"""Of more than `MOST_EPOCHS`, these are shown singly, and the others between them as their mean."""

MOST_LOADERS = 8
"""The epochs of so many loaders are shown, those for which the training waited most."""

MOST_GAPS = 8

_WAITED, _WHILE_IDLE = "main made iterators and waited for batches", " while no device is known to have worked"
_PER_SECOND = "per second of the loader's epochs"


def training_tables(document: Row) -> tuple[TextTable, ...]:
    """Returns three tables: loaders, their epochs, and the longest times outside them. Older sessions lack the rows of the last two."""
    return loaders_table(document["loaders"]), epochs_table(document["loaders"]), gaps_table(document["gaps"])


def training_facts_text(training: Row) -> str:
    """Returns what is known of the training as a whole, beside its sentence: first batch, steps, exit status."""
    facts = []
    if training["first_batch_s"] is not None:
        facts.append(f"{FIRST_BATCH.title} {duration_text(training['first_batch_s'])} after the start of the script")
    facts.append(count_text(training["batches"], "batch"))
    if training["optimizer_steps"] is not None:
        facts.append(count_text(training["optimizer_steps"], OPTIMIZER_STEP.title))
    status = training["exit_status"]
    if status is None:
        facts.append("the script went on when its recording ended")
    else:
        facts.append(f"ended by signal {-status}" if status < 0 else f"exit status {status}")
    return " · ".join(facts)


def loaders_table(loaders: Sequence[Row]) -> TextTable:
    """Returns a row for each loader."""
    has_optimizer = any(loader["optimizer_steps"] for loader in loaders)
    has_device = any(loader["exposed_s"] != loader["wait_s"] for loader in loaders)
    columns: list[tuple[Column, Callable[[Row], str]]] = [
        (Column("loader", is_text=True), lambda loader: _loader_name(loader, loaders)),
        (Column("class", is_text=True, rank=3), lambda loader: str(loader["class"])),
        (Column("workers"), lambda loader: str(loader["num_workers"])),
        (Column("batch"), lambda loader: MISSING if loader["batch_size"] is None else str(loader["batch_size"])),
        (Column("batches"), lambda loader: grouped_text(loader["batches"])),
        (Column("waited", meaning=_WAITED + (_WHILE_IDLE if has_device else "")), lambda loader: duration_text(loader["exposed_s"])),
        (Column("of the training"), lambda loader: share_text(loader["exposed_share"])),
        (Column("steps/s", meaning=_PER_SECOND, rank=1), lambda loader: rate_text(loader["steps_per_second"])),
    ]
    if has_device:
        columns.insert(
            7, (Column("main waited", meaning="whatever the device did", rank=1), lambda loader: duration_text(loader["wait_s"]))
        )
    if has_optimizer:
        columns.append((Column(f"{OPTIMIZER_STEP.title}s/s", rank=2), lambda loader: rate_text(loader["optimizer_steps_per_second"])))
    return TextTable(tuple(column for column, _ in columns), tuple(tuple(text(loader) for _, text in columns) for loader in loaders))


def epochs_table(loaders: Sequence[Row]) -> TextTable:
    """Returns a row for each epoch; of many epochs those in the middle share one. Of many loaders only some have rows."""
    columns = (
        Column("loader", is_text=True),
        Column("epoch", is_text=True),
        Column("began", meaning="after the start of the recording", rank=3),
        Column("took"),
        Column("waited"),
        Column("of it"),
        Column(FIRST_BATCH.title, meaning="after iter()", rank=2),
        Column("until next", meaning="from the last step to the next iter() or the end of the training", rank=2),
        Column("steps/s", rank=1),
    )
    rows: list[tuple[str, ...]] = []
    costliest = sorted(loaders, key=lambda loader: -(loader["exposed_s"] or 0.0))[:MOST_LOADERS]
    for loader in (loader for loader in loaders if loader in costliest):
        epochs = [epoch for epoch in loader["epochs"] if epoch.get("seconds") is not None]
        for number, (name, some) in enumerate(_folded(epochs)):
            rows.append((_loader_name(loader, loaders) if not number else "", name, *_epoch_cells(some)))
    others = len(loaders) - len(costliest)
    problems = (f"and the epochs of {count_text(others, 'other loader')}, for which the training waited less",) if others and rows else ()
    return TextTable(columns, tuple(rows), problems)


def gaps_table(gaps: Sequence[Row]) -> TextTable:
    """Returns the longest times outside loaders, the longest first."""
    columns = (
        Column("outside loaders", is_text=True, meaning="the line in which main was seen longest"),
        Column("where", is_text=True, rank=2),
        Column("took"),
        Column("began", meaning="after the start of the recording", rank=1),
    )
    longest = sorted(gaps, key=lambda gap: -gap["seconds"])
    rows = [
        (line_text(gap["line"]), gap_place_text(gap), duration_text(gap["seconds"]), duration_text(gap["start_s"]))
        for gap in longest[:MOST_GAPS]
    ]
    more = len(longest) - len(rows)
    return TextTable(columns, tuple(rows), problems=(f"and {count_text(more, 'shorter one')}",) if more else ())


def gap_place_text(gap: Row) -> str:
    """Returns between which loaders a gap lies: after train.py:90, before train.py:87."""
    if gap["in_step_of"] is not None:
        return f"in a step of {gap['in_step_of']}"
    if gap["before"] is None:
        return "the whole training" if gap["after"] is None else f"start, before {gap['after']}"
    return f"end, after {gap['before']}" if gap["after"] is None else f"after {gap['before']}, before {gap['after']}"


def line_text(line: str | None) -> str:
    """Returns a line of the script without the folder of its file: train.py:60 in save."""
    return MISSING if line is None else line.replace("\\", "/").rpartition("/")[2]


def _loader_name(loader: Row, loaders: Sequence[Row]) -> str:
    has_processes = len({one["pid"] for one in loaders}) > 1
    return f"{loader['name']} in process {loader['pid']}" if has_processes else str(loader["name"])


def _folded(epochs: Sequence[Row]) -> list[tuple[str, Sequence[Row]]]:
    """Returns rows: the name of each, and the epochs of which it shows the mean."""
    single = [(str(number), [epoch]) for number, epoch in enumerate(epochs)]
    if len(epochs) <= MOST_EPOCHS:
        return list(single)
    first, last = FIRST_EPOCHS, len(epochs) - LAST_EPOCHS
    return [*single[:first], (f"{first} to {last - 1} (mean)", epochs[first:last]), *single[last:]]


def _epoch_cells(epochs: Sequence[Row]) -> tuple[str, ...]:
    def of(key: str) -> float | None:
        known = [epoch[key] for epoch in epochs if epoch[key] is not None]
        return mean(known) if known else None

    seconds, exposed_s = of("seconds") or 0.0, of("exposed_s")
    return (
        duration_text(of("start_s")) if len(epochs) == 1 else MISSING,
        duration_text(seconds),
        duration_text(exposed_s),
        share_text(None if exposed_s is None or not seconds else min(1.0, exposed_s / seconds)),
        duration_text(of("first_batch_s")),
        duration_text(of("until_next_s")),
        rate_text(of("steps_per_second")),
    )
