"""Results as text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from loaderscope.agent.messages import Target, TrialConfig
from loaderscope.analysis.said import line_of, processes_text, trials_text, what_was_said
from loaderscope.facts.results import ScriptWarning
from loaderscope.facts.settings import SETTINGS, Setting, setting_text, value_text, varying
from loaderscope.facts.statuses import OK, status_of
from loaderscope.facts.text import bytes_text, duration_text, share_text
from loaderscope.session.operators_table import format_window
from loaderscope.session.startup_table import format_experiment
from loaderscope.session.text import align, wrap

MIN_WIDTH = 40
MOST_SAID = 12
"""Texts of the script that are shown."""

Row = dict[str, Any]


def format_table(document: dict[str, Any], width: int | None = None) -> str:
    """The results of a run, one row a setting, with what did not work, the recommendation and the findings below.

    Args:
        document: the JSON document of a run.
        width: columns of the terminal; by default those of this one. What does not fit is left out, the least important first.
    """
    width = max(MIN_WIDTH, width if width is not None else shutil.get_terminal_size().columns)
    parts = [_heading(document)]
    experiment = document.get("startup_experiment")
    if experiment is not None and experiment["costs"]:
        parts += [format_experiment(experiment, width), _troubles(document, width), _said(document, width)]
    else:
        if document["results"]:
            parts.append(_results(document, width))
        parts += [_troubles(document, width), _said(document, width)]
        parts += [_recommendation(document, width), _windows(document, width)]
    parts.append(_findings(document, width))
    return _printable("\n\n".join(part for part in parts if part))


def format_targets(targets: Sequence[Target], width: int | None = None) -> str:
    """The targets of a script, one a line."""
    width = max(MIN_WIDTH, width if width is not None else shutil.get_terminal_size().columns)
    rows = []
    for target in targets:
        is_known_loader = target.kind == "captured" and target.dataset_kind is not None
        kind = " ".join(word for word in (target.dataset_kind, "loader" if is_known_loader else target.kind) if word)
        length = f"{target.length} samples" if target.length is not None else ""
        needs = f"needs {', '.join(target.needs)}" if target.needs and not target.note.startswith("needs ") else ""
        note = "; ".join(text for text in (needs, target.note) if text)
        rows.append([target.name, kind, target.type_name, length, f"line {target.line}" if target.line is not None else "", note])
    keep = [i for i in range(6) if any(row[i] for row in rows)]
    header = ["target", "kind", "type", "length", "where", "note"]
    shown = [[header[i] for i in keep], *([row[i] for i in keep] for row in rows)]
    lines = align(shown, left=set(range(len(keep))))
    if max(map(len, lines)) > width and 5 in keep:  # the note does not fit beside the rest: it goes below
        lines = align([row[:-1] for row in shown], left=set(range(len(keep) - 1)))
        below = ["", *(textwrap.fill(row[-1], width, initial_indent="    ", subsequent_indent="    ") for row in shown[1:])]
        lines = [part for pair in zip((line[:width].rstrip() for line in lines), below, strict=True) for part in pair if part]
        return _printable("\n".join(lines))
    return _printable("\n".join(line[:width].rstrip() for line in lines))


def _heading(document: dict[str, Any]) -> str:
    environment, target = document["environment"], document["target"]
    facts = [f"{target['name']} of {target['script']}"]
    for key, name in (("python", "Python "), ("torch", "torch "), ("usable_cpus", "usable CPUs: ")):
        if environment.get(key) is not None:
            facts.append(f"{name}{environment[key]}" + (" without GIL" if key == "python" and environment.get("free_threaded") else ""))
    return " · ".join(facts)


def _results(document: dict[str, Any], width: int) -> str:
    told = varying([TrialConfig.from_json(row["config"]) for row in document["results"]]) | {"num_workers"}
    recommendation = document["recommendation"] or {}
    status = {trial["id"]: trial["status"] for trial in document["trials"]}
    columns: list[tuple[str, Callable[[Row], str], int]] = [
        ("", lambda row: ">" if row["config"] == recommendation.get("config") else " ", 0)
    ]
    columns += [(setting.label, _value_of(setting), 0) for setting in SETTINGS if setting.field in told]
    columns += [
        ("samples/s", lambda row: _number(row["samples_per_second"]), 0),
        ("±", lambda row: _interval(row["samples_per_second"]), 3),
        ("epoch", lambda row: duration_text((row["epoch_s"] or {}).get("value")), 2),
        ("training", lambda row: duration_text(row["train_s"]), 1),
        ("first batch", lambda row: duration_text(row["first_batch_s"]), 2),
        ("wait", lambda row: share_text(row["wait_share"]), 1),
        ("step", lambda row: share_text(row["step_share"]), 4),
        ("accel.", lambda row: share_text(row.get("accelerator_share")), 2),
        ("GPU busy", lambda row: share_text(row["gpu_busy_share"]), 5),
        ("GPU stall", lambda row: share_text(row["data_stall_share"]), 5),
        ("GPU other", lambda row: share_text(row.get("gpu_other_idle_share")), 6),
        ("J/1000", lambda row: _joules(row.get("energy_per_1000_samples_j")), 6),
        ("memory", lambda row: bytes_text(row["peak_total_bytes"]), 3),
        ("trials", lambda row: _statuses([status[number] for number in row["trials"]]), 2),
    ]
    rows = document["results"]
    cells = {name: [show(row) for row in rows] for name, show, _ in columns}
    shown = [(name, rank) for name, _, rank in columns if rank == 0 or any(cell not in ("", "–") for cell in cells[name])]
    while True:
        names = [name for name, _ in shown]
        table = [names, *([cells[name][i] for name in names] for i in range(len(rows)))]
        lines = align(table, left={0, len(names) - 1} if names[-1] == "trials" else {0})
        worst = max(rank for _, rank in shown)
        if worst == 0 or max(map(len, lines)) <= width:
            break
        drop = max(i for i, (_, rank) in enumerate(shown) if rank == worst)
        del shown[drop]
    return "\n".join(line[:width].rstrip() for line in lines)


def _troubles(document: dict[str, Any], width: int) -> str:
    """Every trial that did not go well, with the reason; equal ones of one setting once."""
    lines: dict[str, None] = {}
    for trial in document["trials"]:
        if trial["status"] != "ok":
            name = setting_text(TrialConfig.from_json(trial["config"]))
            reason = (trial["error"] or {}).get("message") or next(iter(trial.get("notes") or ()), "")
            lines[wrap(f"{status_of(trial['status']).word}: {name}" + (f": {reason}" if reason else ""), width, "  ")] = None
    return "\n".join(lines)


def _said(document: dict[str, Any], width: int) -> str:
    """What the script warned of, logged and printed to stderr, each text once; the beginning of long ones."""
    trials = [(trial["id"], [ScriptWarning(**warning) for warning in trial.get("warnings") or ()]) for trial in document["trials"]]
    said = what_was_said(trials)
    if not said:
        return ""
    lines = [f"The script said, in the {len(trials)} trials of this run:" if len(trials) > 1 else "The script said:"]
    for row in said[:MOST_SAID]:
        who = f" ({processes_text(row.processes)})" if row.processes else ""
        head = " ".join(part for part in (row.kind, f"×{row.count}" if row.count > 1 else "", trials_text(row.trials, len(trials))) if part)
        lines.append(_in_two_lines(f"  {head}{who}: {line_of(row)}", width))
    if len(said) > MOST_SAID:
        lines.append(f"  and {len(said) - MOST_SAID} other texts; --json holds them all")
    return "\n".join(lines)


def _in_two_lines(text: str, width: int) -> str:
    first, *more = wrap(text, width, "    ").splitlines()
    if len(more) > 1:
        return f"{first}\n{more[0][: width - 2]} …"
    return "\n".join([first, *more])


def _recommendation(document: dict[str, Any], width: int) -> str:
    recommendation = document["recommendation"]
    if recommendation is None:
        statuses = [status_of(trial["status"]) for trial in document["trials"]]
        if OK not in statuses and any(status.is_failure for status in statuses):
            return ""  # why nothing worked stands above
        return wrap(document["summary"], width)
    why = recommendation["why"]
    return wrap("Recommended: " + why, width)


def _windows(document: dict[str, Any], width: int) -> str:
    """The exact window of the recommended setting, or of the only one that has any."""
    trials = [trial for trial in document["trials"] if trial.get("gpu_window")]
    best = (document["recommendation"] or {}).get("config")
    shown = next((trial for trial in trials if trial["config"] == best), trials[0] if trials else None)
    return format_window(shown["gpu_window"], setting_text(TrialConfig.from_json(shown["config"])), width) if shown else ""


def _findings(document: dict[str, Any], width: int) -> str:
    parts = []
    for finding in document["findings"]:
        advice = f" {finding['advice']}" if finding["advice"] else ""
        parts.append(wrap(f"{finding['severity']}: {finding['message']}{advice}", width, "  "))
    return "\n".join(parts)


def _value_of(setting: Setting) -> Callable[[Row], str]:
    return lambda row: value_text(setting.of(TrialConfig.from_json(row["config"])))


def _statuses(statuses: list[str]) -> str:
    counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
    if list(counts) == [OK.key]:
        return str(len(statuses)) if len(statuses) > 1 else ""
    return ", ".join(status_of(key).word if count == 1 else f"{count} {status_of(key).word}" for key, count in counts.items())


def _number(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate['value']:.0f}" if estimate["value"] >= 100 else f"{estimate['value']:.3g}"


def _interval(estimate: dict[str, Any] | None) -> str:
    if estimate is None or estimate["ci95"] is None or not estimate["value"]:
        return ""
    low, high = estimate["ci95"]
    share = (high - low) / 2 / estimate["value"]
    return f"{share * 100:.1f} %" if share < 1 else "> 99 %"  # an interval that reaches below 0: the value is hardly known


def _joules(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _printable(text: str) -> str:
    """The text without control characters: a session from elsewhere must not steer the terminal."""
    return "".join(c if c == "\n" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
