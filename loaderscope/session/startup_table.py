"""What a start-up experiment found, as text for a terminal."""

from __future__ import annotations

from typing import Any

from loaderscope.facts.measures import FIRST_BATCH
from loaderscope.facts.remedies import control_title, remedy_kind, start_title
from loaderscope.facts.text import duration_text, share_text
from loaderscope.session.text_columns import align, wrap

Row = dict[str, Any]


def format_experiment(experiment: Row, width: int) -> str:
    """The summary, what starts cost, the controls, remedies predicted beside measured, and from when on workers pay.

    Args:
        experiment: the `startup_experiment` of a JSON document.
        width: columns of the terminal.
    """
    parts = [wrap(experiment["summary"], width), _costs(experiment, width), _preloaded(experiment, width), _per_worker(experiment, width)]
    parts += [_controls(experiment, width), _remedies(experiment, width), _break_even(experiment, width)]
    return "\n\n".join("\n".join(line[:width].rstrip() for line in part.splitlines()) for part in parts if part)


def _costs(experiment: Row, width: int) -> str:
    persistent = {_start(row): row for row in experiment["costs"] if row["persistent_workers"]}
    has_server = any(row["server_start_s"] is not None for row in experiment["costs"])
    rows = [["start", "workers", FIRST_BATCH.title, "later", "end", "persistent", *(["server"] if has_server else [])]]
    for row in experiment["costs"]:
        if row["persistent_workers"]:
            continue
        kept = persistent.get(_start(row), {})
        cells = [row["first_batch_s"], row["later_first_batch_s"], row["epoch_end_s"], kept.get("later_first_batch_s")]
        cells += [row["server_start_s"]] if has_server else []
        rows.append([_method(row), str(row["num_workers"]), *(duration_text(value) for value in cells)])
    notes = "(later: first batch of a later epoch; end: until the workers are gone; persistent: later, of workers that stay"
    notes += "; server: the fork server's own start, once)" if has_server else ")"
    return "\n".join([*align(rows, left={0}), wrap(notes, width)])


def _start(row: Row) -> tuple[Any, ...]:
    return row["start_method"], tuple(row["preload"]), row["num_workers"]


def _method(row: Row) -> str:
    return start_title(row["start_method"], bool(row["preload"]))


def _preloaded(experiment: Row, width: int) -> str:
    modules = dict.fromkeys(name for row in experiment["costs"] for name in row["preload"])
    return wrap(f"Preloaded: {', '.join(modules)}", width, "  ") if modules else ""


def _per_worker(experiment: Row, width: int) -> str:
    texts = [
        f"{_method(row)} {duration_text(row['seconds_per_worker'])}"
        + (f" (± {duration_text(row['residual_s'])})" if row["residual_s"] is not None else "")
        for row in experiment["per_worker"]
        if row["seconds_per_worker"] is not None
    ]
    return wrap("A further worker adds: " + ", ".join(texts), width, "  ") if texts else ""


def _controls(experiment: Row, width: int) -> str:
    rows, errors, dropped = [["control", "first", "from disk", "again"]], [], False
    for row in experiment["controls"]:
        name = control_title(row["name"], row["modules"])
        if row["error"] is not None:
            errors.append(wrap(f"{name}: {row['error']}", width, "  "))
            continue
        dropped = dropped or row["cache_was_dropped"]
        first, again = duration_text(row["first_s"]), duration_text(row["again_s"])
        rows.append([name, first, share_text(row["first_from_disk_share"]), again])
    if len(rows) == 1:
        return "\n".join(errors)
    how = "first: after their files were dropped from the system's cache" if dropped else "first: with the system's cache as it was"
    return "\n".join([*align(rows, left={0}), *errors, wrap(f"({how})", width)])


def _remedies(experiment: Row, width: int) -> str:
    rows = [["remedy", "for", "predicted", "measured", "saving"]]
    for row in experiment["remedies"]:
        against = row["against"]
        counted = ", with server" if row["with_server"] else f", {row['over_epochs']} epochs" if row["over_epochs"] > 1 else ""
        workers = f"{against['num_workers']} x {against['start_method']}{counted}"
        figures = [duration_text(row["predicted_s"]), duration_text(row["measured_s"])]
        rows.append([remedy_kind(row["name"]).word, workers, *figures, _verdict(row)])
    if len(rows) == 1:
        return ""
    found = dict.fromkeys(remedy_kind(row["name"]) for row in experiment["remedies"])
    note = "; ".join(f"{kind.word}: {kind.saving}" for kind in found)
    return "\n".join([*align(rows, left={0, 1, 4}), wrap(f"(seconds saved; {note})", width)])


def _verdict(row: Row) -> str:
    """Whether the prediction came true, as far as the machine was steady enough to tell."""
    if row["agrees"] is None or row["agrees"]:
        return "" if row["agrees"] is None else "agrees"
    return "within noise" if abs(row["predicted_s"] - row["measured_s"]) <= (row["noise_s"] or 0.0) else "differs"


def _break_even(experiment: Row, width: int) -> str:
    """Epoch lengths from which workers are quicker than none; a line a start method."""
    if not experiment["break_even"]:
        return ""
    kept = {_start(row): row for row in experiment["break_even"] if row["persistent_workers"]}
    rows = [["break-even", "workers", "epoch of", "persistent"]]
    for row in experiment["break_even"]:
        if not row["persistent_workers"]:
            rows.append([_method(row), str(row["num_workers"]), _length(row), _length(kept.get(_start(row)))])
    note = "(the epoch length from which these workers are quicker than none, with nothing done to the batches)"
    return "\n".join([*align(rows, left={0}), wrap(note, width)])


def _length(row: Row | None) -> str:
    if row is None:
        return "–"
    if row["batches"] is None:
        return "never"
    length = "1 batch" if row["batches"] == 1 else f"{row['batches']} batches"
    return f"{length} ({duration_text(row['epoch_s'])})"
