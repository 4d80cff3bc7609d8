"""The tables and sentences that every output shows of a start-up experiment, as plain text cells.

All functions read the `startup_experiment` of a JSON document, so that a session that was only read looks like one just measured.
"""

from __future__ import annotations

from typing import Any

from loaderscope.analysis.text_table import Column, TextTable
from loaderscope.facts.measures import FIRST_BATCH
from loaderscope.facts.remedies import control_title, remedy_kind, start_title
from loaderscope.facts.text import MISSING, duration_text, share_text

Row = dict[str, Any]


def experiment_tables(experiment: Row) -> tuple[TextTable, ...]:
    """Returns four tables: start costs, controls, remedies and break-even. A table of what was not measured has no rows."""
    return _costs_table(experiment), _controls_table(experiment), _remedies_table(experiment), _break_even_table(experiment)


def preloaded_sentence(experiment: Row) -> str:
    """Returns which modules the fork servers had preloaded; empty if none had."""
    modules = dict.fromkeys(name for row in experiment["costs"] for name in row["preload"])
    return f"Preloaded: {', '.join(modules)}" if modules else ""


def per_worker_sentence(experiment: Row) -> str:
    """Returns the seconds that a further worker adds under each start method; empty if one number of workers was tried."""
    texts = [
        f"{_start_title(row)} {duration_text(row['seconds_per_worker'])}"
        + (f" (± {duration_text(row['residual_s'])})" if row["residual_s"] is not None else "")
        for row in experiment["per_worker"]
        if row["seconds_per_worker"] is not None
    ]
    return "A further worker adds: " + ", ".join(texts) if texts else ""


def _costs_table(experiment: Row) -> TextTable:
    """What starts cost: a row for each start method and number of workers."""
    persistent = {_start_key(row): row for row in experiment["costs"] if row["persistent_workers"]}
    has_server = any(row["server_start_s"] is not None for row in experiment["costs"])
    columns = [
        Column("start", is_text=True),
        Column("workers"),
        Column(FIRST_BATCH.title),
        Column("later", meaning="first batch of a later epoch"),
        Column("end", meaning="until the workers are gone"),
        Column("persistent", meaning="later, of workers that stay"),
    ]
    if has_server:
        columns.append(Column("server", meaning="the fork server's own start, once"))
    rows = []
    for row in experiment["costs"]:
        if not row["persistent_workers"]:
            later_s = persistent.get(_start_key(row), {}).get("later_first_batch_s")
            seconds = [row["first_batch_s"], row["later_first_batch_s"], row["epoch_end_s"], later_s]
            seconds += [row["server_start_s"]] if has_server else []
            rows.append((_start_title(row), str(row["num_workers"]), *map(duration_text, seconds)))
    return TextTable(tuple(columns), tuple(rows))


def _controls_table(experiment: Row) -> TextTable:
    """What was measured without any loader: an interpreter and imports by themselves. Failed controls are problems."""
    measured = [row for row in experiment["controls"] if row["error"] is None]
    cache_was_dropped = any(row["cache_was_dropped"] for row in measured)
    first = "after their files were dropped from the system's cache" if cache_was_dropped else "with the system's cache as it was"
    return TextTable(
        columns=(Column("control", is_text=True), Column("first", meaning=first), Column("from disk"), Column("again")),
        rows=tuple(
            (
                control_title(row["name"], row["modules"]),
                duration_text(row["first_s"]),
                share_text(row["first_from_disk_share"]),
                duration_text(row["again_s"]),
            )
            for row in measured
        ),
        problems=tuple(
            f"{control_title(row['name'], row['modules'])}: {row['error']}" for row in experiment["controls"] if row["error"] is not None
        ),
    )


def _remedies_table(experiment: Row) -> TextTable:
    """What each remedy saves, as predicted and as measured."""
    kinds = dict.fromkeys(remedy_kind(row["name"]) for row in experiment["remedies"])
    return TextTable(
        columns=(
            Column("remedy", is_text=True),
            Column("for", is_text=True),
            Column("predicted"),
            Column("measured"),
            Column("saving", is_text=True),
        ),
        rows=tuple(
            (
                remedy_kind(row["name"]).word,
                _compared_start(row),
                duration_text(row["predicted_s"]),
                duration_text(row["measured_s"]),
                _verdict(row),
            )
            for row in experiment["remedies"]
        ),
        remark="; ".join(["seconds saved", *(f"{kind.word}: {kind.saving}" for kind in kinds)]),
    )


def _break_even_table(experiment: Row) -> TextTable:
    """Epoch lengths from which workers are quicker than none: a row for each start method and number of workers."""
    persistent = {_start_key(row): row for row in experiment["break_even"] if row["persistent_workers"]}
    return TextTable(
        columns=(Column("break-even", is_text=True), Column("workers"), Column("epoch of"), Column("persistent")),
        rows=tuple(
            (_start_title(row), str(row["num_workers"]), _epoch_length(row), _epoch_length(persistent.get(_start_key(row))))
            for row in experiment["break_even"]
            if not row["persistent_workers"]
        ),
        remark="the epoch length from which these workers are quicker than none, with nothing done to the batches",
    )


def _start_key(row: Row) -> tuple[Any, ...]:
    """What persistent workers and others of the same start have in common."""
    return row["start_method"], tuple(row["preload"]), row["num_workers"]


def _start_title(row: Row) -> str:
    return start_title(row["start_method"], bool(row["preload"]))


def _compared_start(remedy: Row) -> str:
    """The start that the remedy is compared with, and what the seconds count."""
    against = remedy["against"]
    counted = ", with server" if remedy["with_server"] else f", {remedy['over_epochs']} epochs" if remedy["over_epochs"] > 1 else ""
    return f"{against['num_workers']} x {against['start_method']}{counted}"


def _verdict(remedy: Row) -> str:
    """Whether the prediction came true; a difference below the noise of the machine proves nothing."""
    if remedy["agrees"] is None:
        return ""
    if remedy["agrees"]:
        return "agrees"
    return "within noise" if abs(remedy["predicted_s"] - remedy["measured_s"]) <= (remedy["noise_s"] or 0.0) else "differs"


def _epoch_length(row: Row | None) -> str:
    if row is None:
        return MISSING
    if row["batches"] is None:
        return "never"
    length = "1 batch" if row["batches"] == 1 else f"{row['batches']} batches"
    return f"{length} ({duration_text(row['epoch_s'])})"
