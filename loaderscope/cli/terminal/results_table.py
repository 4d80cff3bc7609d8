"""The results of a run, and the targets of a script, as text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from loaderscope.agent.messages import Target, TrialConfig
from loaderscope.analysis.script_messages import distinct_messages, message_line, processes_text, trials_text
from loaderscope.cli.terminal.operators_table import format_window
from loaderscope.cli.terminal.startup_table import format_experiment
from loaderscope.cli.terminal.text_columns import align, wrap
from loaderscope.facts.measures import MEASURES
from loaderscope.facts.results import ScriptWarning, SettingResult
from loaderscope.facts.settings import SETTINGS, setting_text, value_text, varying_fields
from loaderscope.facts.statuses import OK, status_of
from loaderscope.facts.text import THIN_SPACE

MIN_WIDTH = 40
MAX_SCRIPT_MESSAGES = 12


def format_table(document: dict[str, Any], width: int | None = None) -> str:
    """Returns a row for each setting; below them trials that were not ok, messages of the script, recommendation and findings.

    Args:
        document: the JSON document of a run.
        width: columns of the terminal; None for those of this one. Columns that do not fit are left out, the least important first.
    """
    width = max(MIN_WIDTH, width if width is not None else shutil.get_terminal_size().columns)
    parts = [_heading(document)]
    experiment = document.get("startup_experiment")
    if experiment is not None and experiment["costs"]:
        parts += [format_experiment(experiment, width), _not_ok_trials(document, width), _script_messages(document, width)]
    else:
        if document["results"]:
            parts.append(_results(document, width))
        parts += [_not_ok_trials(document, width), _script_messages(document, width)]
        parts += [_recommendation(document, width), _exact_window(document, width)]
    parts.append(_findings(document, width))
    return _printable("\n\n".join(part for part in parts if part))


def format_targets(targets: Sequence[Target], width: int | None = None) -> str:
    """Returns a line for each target; `width` as for `format_table`."""
    width = max(MIN_WIDTH, width if width is not None else shutil.get_terminal_size().columns)
    rows = []
    for target in targets:
        is_known_loader = target.kind == "captured" and target.dataset_kind is not None
        kind = " ".join(word for word in (target.dataset_kind, "loader" if is_known_loader else target.kind) if word)
        length = f"{target.length} samples" if target.length is not None else ""
        needs = f"needs {', '.join(target.needs)}" if target.needs and target.origin != "class" else ""  # the note of a class names them
        note = "; ".join(text for text in (needs, target.note) if text)
        rows.append([target.name, kind, target.type_name, length, f"line {target.line}" if target.line is not None else "", note])
    titles = ["target", "kind", "type", "length", "where", "note"]
    filled = [i for i in range(len(titles)) if any(row[i] for row in rows)]
    table = [[titles[i] for i in filled], *([row[i] for i in filled] for row in rows)]
    lines = align(table, left=set(range(len(filled))))
    has_notes = len(titles) - 1 in filled
    if max(map(len, lines)) > width and has_notes:  # a note that does not fit beside its target goes below it
        lines = align([row[:-1] for row in table], left=set(range(len(filled) - 1)))
        notes = ["", *(textwrap.fill(row[-1], width, initial_indent="    ", subsequent_indent="    ") for row in table[1:])]
        lines = [part for pair in zip((line[:width].rstrip() for line in lines), notes, strict=True) for part in pair if part]
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
    """A column of the results; `rank` as in `facts.measures.Measure`."""

    title: str
    cells: list[str]
    rank: int
    is_left: bool = False


def _results(document: dict[str, Any], width: int) -> str:
    settings = [SettingResult.from_json(row) for row in document["results"]]
    shown_fields = varying_fields([setting.config for setting in settings]) | {"num_workers"}
    recommendation = document["recommendation"] or {}
    status_by_trial = {trial["id"]: trial["status"] for trial in document["trials"]}
    marks = [">" if row["config"] == recommendation.get("config") else " " for row in document["results"]]
    columns = [_Column("", marks, 0, is_left=True)]
    columns += [
        _Column(axis.label, [value_text(axis.of(setting.config)) for setting in settings], 0)
        for axis in SETTINGS
        if axis.field in shown_fields
    ]
    for measure in MEASURES:
        values = [measure.of(setting) for setting in settings]
        if measure.rank == 0 or (measure.rank is not None and any(value is not None for value in values)):
            columns.append(_Column(measure.title, [measure.text(value) for value in values], measure.rank))
    trials = [_status_counts([status_by_trial[number] for number in setting.trials]) for setting in settings]
    if any(trials):
        columns.append(_Column("trials", trials, 2, is_left=True))
    while True:
        table = [[column.title for column in columns], *(list(row) for row in zip(*(column.cells for column in columns), strict=True))]
        lines = align(table, left={number for number, column in enumerate(columns) if column.is_left})
        least_important = max(column.rank for column in columns)
        if least_important == 0 or max(map(len, lines)) <= width:
            break
        del columns[max(number for number, column in enumerate(columns) if column.rank == least_important)]
    return "\n".join(line[:width].rstrip() for line in lines)


def _not_ok_trials(document: dict[str, Any], width: int) -> str:
    """Returns a line with the reason for each trial that was not ok. Repeats that say the same share a line."""
    lines: dict[str, None] = {}
    for trial in document["trials"]:
        if trial["status"] != "ok":
            name = setting_text(TrialConfig.from_json(trial["config"]))
            reason = (trial["error"] or {}).get("message") or next(iter(trial.get("notes") or ()), "")
            lines[wrap(f"{status_of(trial['status']).word}: {name}" + (f": {reason}" if reason else ""), width, "  ")] = None
    return "\n".join(lines)


def _script_messages(document: dict[str, Any], width: int) -> str:
    """Returns what the script warned of, logged and printed to stderr: each text once, cut to two lines."""
    trials = [(trial["id"], [ScriptWarning(**warning) for warning in trial.get("warnings") or ()]) for trial in document["trials"]]
    messages = distinct_messages(trials)
    if not messages:
        return ""
    lines = [f"The script said, in the {len(trials)} trials of this run:" if len(trials) > 1 else "The script said:"]
    for row in messages[:MAX_SCRIPT_MESSAGES]:
        who = f" ({processes_text(row.processes)})" if row.processes else ""
        head = " ".join(part for part in (row.kind, f"×{row.count}" if row.count > 1 else "", trials_text(row.trials, len(trials))) if part)
        lines.append(_in_two_lines(f"  {head}{who}: {message_line(row)}", width))
    if len(messages) > MAX_SCRIPT_MESSAGES:
        lines.append(f"  and {len(messages) - MAX_SCRIPT_MESSAGES} other texts; --json holds them all")
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
            return ""  # the lines about these trials say why nothing worked
        return wrap(document["summary"], width)
    return wrap("Recommended: " + recommendation["why"], width)


def _exact_window(document: dict[str, Any], width: int) -> str:
    """Returns the exact window of the recommended setting, or else of the first trial that has one."""
    trials = [trial for trial in document["trials"] if trial.get("gpu_window")]
    recommended = (document["recommendation"] or {}).get("config")
    shown = next((trial for trial in trials if trial["config"] == recommended), trials[0] if trials else None)
    return format_window(shown["gpu_window"], setting_text(TrialConfig.from_json(shown["config"])), width) if shown else ""


def _findings(document: dict[str, Any], width: int) -> str:
    parts = []
    for finding in document["findings"]:
        advice = f" {finding['advice']}" if finding["advice"] else ""
        parts.append(wrap(f"{finding['severity']}: {finding['message']}{advice}", width, "  "))
    return "\n".join(parts)


def _status_counts(statuses: list[str]) -> str:
    counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
    if list(counts) == [OK.key]:
        return str(len(statuses)) if len(statuses) > 1 else ""
    return ", ".join(status_of(key).word if count == 1 else f"{count} {status_of(key).word}" for key, count in counts.items())


def _printable(text: str) -> str:
    """Returns the text without control characters, so that a session from elsewhere cannot steer the terminal.

    Plain spaces replace the thin ones between thousands, which many an encoding lacks.
    """
    plain = text.replace(THIN_SPACE, " ")
    return "".join(c if c == "\n" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in plain)
