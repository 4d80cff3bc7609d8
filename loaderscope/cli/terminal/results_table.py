"""The results of a run on a terminal."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import RenderableType
from rich.text import Text

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.script_messages import distinct_messages, message_line, processes_text, trials_text
from loaderscope.analysis.training_tables import training_facts_text, training_tables
from loaderscope.cli.terminal.console import spaced, stacked, unwrapped
from loaderscope.cli.terminal.operators_table import window_section
from loaderscope.cli.terminal.sentence import Sentence
from loaderscope.cli.terminal.startup_table import experiment_section
from loaderscope.cli.terminal.table import FittingTable, TableColumn
from loaderscope.cli.terminal.text_table import table_section
from loaderscope.facts.captured import sentence_of_document
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.finding_text import evidence_lines, gain_text, training_s
from loaderscope.facts.findings import Remedy, change_of
from loaderscope.facts.measures import MEASURES, THROUGHPUT, THROUGHPUTS
from loaderscope.facts.purposes import PERFECT_LOADER, trial_setting_text
from loaderscope.facts.results import Ceiling, ScriptWarning, SettingResult, purpose_of
from loaderscope.facts.settings import SETTINGS, Setting, setting_text, value_text, varying_fields
from loaderscope.facts.statuses import OK, status_of
from loaderscope.facts.text import enumerated

MAX_SCRIPT_MESSAGES = 12


def results_page(document: dict[str, Any]) -> RenderableType:
    """Returns a row for each setting; below them trials that were not ok, messages of the script, recommendation and findings.

    Args:
        document: the JSON document of a run.
    """
    if document.get("kind") == "trace":
        return _training_page(document)
    experiment = document.get("startup_experiment")
    parts: list[RenderableType | None] = [unwrapped(_heading_text(document), "heading")]
    if document["captured"] is not None:
        parts.append(Sentence(f"Captured: {sentence_of_document(document['captured'])}."))
    if experiment is not None and experiment["costs"]:
        parts += [experiment_section(experiment), _not_ok_trials(document), _script_messages(document)]
    else:
        parts += [_results_table(document) if document["results"] else None, _not_ok_trials(document), _no_ceiling(document)]
        parts += [_script_messages(document), _recommendation(document), _exact_window(document)]
    return spaced([*parts, _findings(document)])


def _training_page(document: dict[str, Any]) -> RenderableType:
    """Returns the page of a recorded training: its sentence first, then its loaders, their epochs and the longest times outside them."""
    tables = map(table_section, training_tables(document))
    heading = unwrapped(_heading_text(document), "heading")
    facts = Sentence((training_facts_text(document["training"]), "muted"))
    below = [_notes(document), _script_messages(document), _findings(document)]
    return spaced([Sentence(document["summary"]), stacked([heading, facts]), *tables, *below])


def _notes(document: dict[str, Any]) -> RenderableType | None:
    """Returns what is to be known about the recording of the loaders, each sentence once."""
    return stacked(Sentence(note) for note in dict.fromkeys(note for trial in document["trials"] for note in trial.get("notes") or ()))


def _heading_text(document: dict[str, Any]) -> str:
    environment, target = document["environment"], document["target"]
    facts = [f"{target['name']} of {target['script']}"]
    for key, name in (("python", "Python "), ("torch", "torch "), ("usable_cpus", "usable CPUs: ")):
        if environment.get(key) is not None:
            facts.append(f"{name}{environment[key]}" + (" without GIL" if key == "python" and environment.get("free_threaded") else ""))
    devices = dict.fromkeys(device for trial in document["trials"] for device in trial.get("devices") or ())
    if devices:
        facts.append(f"on {enumerated(list(devices))}")
    return " · ".join(facts)


def _results_table(document: dict[str, Any]) -> FittingTable:
    """Returns a row for each setting, and one for the ceiling."""
    settings = msgspec.convert(document["results"], list[SettingResult])
    ceilings = _ceiling_rows(document)
    rows: list[SettingResult] = [*settings, *ceilings]
    recommended = (document["recommendation"] or {}).get("config")
    is_recommended = [row["config"] == recommended and not row.get("remedy") for row in document["results"]]
    status_by_trial = {trial["id"]: trial["status"] for trial in document["trials"]}
    shown_fields = varying_fields([setting.config for setting in settings]) | {"num_workers"}
    no_marks = [" "] * len(ceilings)
    columns = [TableColumn("", [*(">" if this_is else " " for this_is in is_recommended), *no_marks], is_text=True)]
    for axis in (axis for axis in SETTINGS if axis.field in shown_fields):
        values = [value_text(axis.of(setting.config)) for setting in settings]
        columns.append(TableColumn(axis.label, [*values, *_of_ceilings(axis, ceilings)]))
    if any(setting.remedy for setting in settings):
        columns.append(TableColumn("remedy", [change_of(row.remedy) for row in rows], is_text=True))
    throughput = next((one for one in THROUGHPUTS if any(one.of(setting) is not None for setting in settings)), THROUGHPUT)
    for measure in MEASURES:
        is_known = any(measure.of(setting) is not None for setting in settings)
        if measure is throughput or (measure.rank and is_known):
            columns.append(TableColumn(measure.title, list(map(measure.text_of, rows)), measure.rank or 0))
    trials = [_status_counts([status_by_trial[number] for number in setting.trials]) for setting in settings]
    if any(trials):
        columns.append(TableColumn("trials", [*trials, *(Text() for _ in ceilings)], 2, is_text=True))
    return FittingTable(columns, [*("recommended" if this_is else "" for this_is in is_recommended), *("muted" for _ in ceilings)])


def _ceiling_rows(document: dict[str, Any]) -> list[SettingResult]:
    """Returns the row of the ceiling, if it is known; it has a rate alone."""
    ceiling = msgspec.convert(document.get("ceiling"), Ceiling | None)
    if ceiling is None:
        return []
    trials = [trial for trial in document["trials"] if trial["id"] == ceiling.trial]
    config = TrialConfig.from_json(trials[0]["config"]) if trials else TrialConfig()
    return [SettingResult(config, [], ceiling.samples_per_second, ceiling.batches_per_second)]


def _of_ceilings(axis: Setting, ceilings: list[SettingResult]) -> list[str]:
    """Returns what the rows of the ceiling show of a setting: their name in place of the workers."""
    return ["perfect" if axis.field == "num_workers" else value_text(axis.of(row.config)) for row in ceilings]


def _not_ok_trials(document: dict[str, Any]) -> RenderableType | None:
    """Returns a line with the reason for each trial that was not ok. Repeats that say the same share a line."""
    texts: dict[tuple[str, str], None] = {}
    for trial in document["trials"]:
        if trial["status"] != OK.key:
            remedy = msgspec.convert(trial.get("remedy"), Remedy | None)
            purpose = purpose_of(perfect_loader=trial.get("perfect_loader", False), probe=trial.get("probe", False), remedy=remedy)
            name = trial_setting_text(TrialConfig.from_json(trial["config"]), purpose, change_of(remedy))
            reason = (trial["error"] or {}).get("message") or next(iter(trial.get("notes") or ()), "")
            texts[trial["status"], f": {name}" + (f": {reason}" if reason else "")] = None
    return stacked(Sentence((status_of(key).word, status_of(key).role), text, indent=2) for key, text in texts)


def _no_ceiling(document: dict[str, Any]) -> RenderableType | None:
    """Returns why a trial of the perfect loader, which ended well, shows no ceiling; None if all do."""
    reasons = [
        trial.get("samples_per_second_reason")
        for trial in document["trials"]
        if trial.get("perfect_loader") and trial["status"] == OK.key and not (trial["samples_per_second"] or trial["batches_per_second"])
    ]
    return stacked(Sentence((PERFECT_LOADER.word, "muted"), f": {reason}", indent=2) for reason in dict.fromkeys(reasons) if reason)


def _script_messages(document: dict[str, Any]) -> RenderableType | None:
    """Returns what the script warned of, logged and printed to stderr: each text once, cut to two lines."""
    trials = [(trial["id"], [ScriptWarning(**warning) for warning in trial.get("warnings") or ()]) for trial in document["trials"]]
    messages = distinct_messages(trials)
    if not messages:
        return None
    title = f"The script said, in the {len(trials)} trials of this run:" if len(trials) > 1 else "The script said:"
    lines: list[RenderableType] = [unwrapped(title, "heading")]
    for row in messages[:MAX_SCRIPT_MESSAGES]:
        who = f" ({processes_text(row.processes)})" if row.processes else ""
        head = " ".join(part for part in (row.kind, f"×{row.count}" if row.count > 1 else "", trials_text(row.trials, len(trials))) if part)
        lines.append(Sentence((f"  {head}{who}:", "muted"), f" {message_line(row)}", indent=4, max_lines=2))
    if len(messages) > MAX_SCRIPT_MESSAGES:
        others = f"  and {len(messages) - MAX_SCRIPT_MESSAGES} other texts; --json holds them all"
        lines.append(unwrapped(others, "muted"))
    return stacked(lines)


def _recommendation(document: dict[str, Any]) -> RenderableType | None:
    recommendation = document["recommendation"]
    if recommendation is None:
        statuses = [status_of(trial["status"]) for trial in document["trials"]]
        if OK not in statuses and any(status.is_failure for status in statuses):
            return None  # the lines about these trials say why nothing worked
        return Sentence(document["summary"]) if document["summary"] else None
    advice = "" if any(trial.get("gave_all") for trial in document["trials"]) else " --epochs 2 measures a second one."
    caveat = f" {recommendation['caveat']}{advice}" if recommendation.get("caveat") else ""
    return Sentence(("Recommended:", "recommended"), f" {recommendation['why']}{caveat}")


def _exact_window(document: dict[str, Any]) -> RenderableType | None:
    """Returns the exact window of the recommended setting, or else of the first trial that has one."""
    trials = [trial for trial in document["trials"] if trial.get("gpu_window")]
    recommended = (document["recommendation"] or {}).get("config")
    shown = next((trial for trial in trials if trial["config"] == recommended), trials[0] if trials else None)
    return window_section(shown["gpu_window"], setting_text(TrialConfig.from_json(shown["config"]))) if shown else None


def _findings(document: dict[str, Any]) -> RenderableType | None:
    """Returns what was tried, and the findings, each with its gain and its change as code."""
    lines: list[RenderableType] = [
        Sentence(("tried", "recommended"), f": {tried['sentence']}", indent=2) for tried in document["tried_remedies"]
    ]
    settings = msgspec.convert(document["results"], list[SettingResult]) if document.get("kind") != "trace" else []
    for finding in document["findings"]:
        advice = f" {finding['advice']}" if finding["advice"] else ""
        lines.append(Sentence((finding["severity"], finding["severity"]), f": {finding['message']}{advice}", indent=2))
        lines += [Sentence((f"  {line}", "muted"), indent=4) for line in evidence_lines(finding.get("evidence") or {})]
        if finding.get("change"):
            lines += [unwrapped(f"    {line}") for line in finding["change"].splitlines()]
        if (gain_s := msgspec.convert(finding.get("gain_s"), Estimate | None)) is not None:
            lines.append(Sentence((f"  {gain_text(gain_s, training_s(finding['trials'], settings))}", "recommended"), indent=2))
    return stacked(lines)


def _status_counts(statuses: list[str]) -> Text:
    counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
    if list(counts) == [OK.key]:
        return Text(str(len(statuses)) if len(statuses) > 1 else "")
    words = [
        (status_of(key).word if count == 1 else f"{count} {status_of(key).word}", status_of(key).role) for key, count in counts.items()
    ]
    return Text(", ").join(Text(word, role) for word, role in words)
