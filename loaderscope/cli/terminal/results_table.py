"""Results as text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from loaderscope.agent.messages import Target, TrialConfig
from loaderscope.analysis.script_messages import line_of, processes_text, trials_text, what_was_said
from loaderscope.cli.terminal.operators_table import format_window
from loaderscope.cli.terminal.startup_table import format_experiment
from loaderscope.cli.terminal.text_columns import align, wrap
from loaderscope.facts.measures import MEASURES
from loaderscope.facts.results import ScriptWarning, SettingResult
from loaderscope.facts.settings import SETTINGS, setting_text, value_text, varying
from loaderscope.facts.statuses import OK, status_of
from loaderscope.facts.text import THIN_SPACE

MIN_WIDTH = 40
MOST_SAID = 12
"""Texts of the script that are shown."""


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
        needs = f"needs {', '.join(target.needs)}" if target.needs and target.origin != "class" else ""  # the note of a class tells it
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


class _Column(NamedTuple):
    """A column of the results; `rank` as in `Measure`."""

    title: str
    cells: list[str]
    rank: int
    is_left: bool = False


def _results(document: dict[str, Any], width: int) -> str:
    settings = [SettingResult.from_json(row) for row in document["results"]]
    told = varying([setting.config for setting in settings]) | {"num_workers"}
    recommendation = document["recommendation"] or {}
    status = {trial["id"]: trial["status"] for trial in document["trials"]}
    marks = [">" if row["config"] == recommendation.get("config") else " " for row in document["results"]]
    shown = [_Column("", marks, 0, is_left=True)]
    shown += [
        _Column(axis.label, [value_text(axis.of(setting.config)) for setting in settings], 0) for axis in SETTINGS if axis.field in told
    ]
    for measure in MEASURES:
        values = [measure.of(setting) for setting in settings]
        if measure.rank == 0 or (measure.rank is not None and any(value is not None for value in values)):
            shown.append(_Column(measure.title, [measure.text(value) for value in values], measure.rank))
    trials = [_statuses([status[number] for number in setting.trials]) for setting in settings]
    if any(trials):
        shown.append(_Column("trials", trials, 2, is_left=True))
    while True:
        table = [[column.title for column in shown], *(list(row) for row in zip(*(column.cells for column in shown), strict=True))]
        lines = align(table, left={number for number, column in enumerate(shown) if column.is_left})
        worst = max(column.rank for column in shown)
        if worst == 0 or max(map(len, lines)) <= width:
            break
        del shown[max(number for number, column in enumerate(shown) if column.rank == worst)]
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


def _statuses(statuses: list[str]) -> str:
    counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
    if list(counts) == [OK.key]:
        return str(len(statuses)) if len(statuses) > 1 else ""
    return ", ".join(status_of(key).word if count == 1 else f"{count} {status_of(key).word}" for key, count in counts.items())


def _printable(text: str) -> str:
    """The text without control characters: a session from elsewhere must not steer the terminal.

    Thousands stand apart by a plain space, as many an encoding has no thin one.
    """
    plain = text.replace(THIN_SPACE, " ")
    return "".join(c if c == "\n" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in plain)
