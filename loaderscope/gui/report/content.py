"""The content of a report, the same for every file format: sections of words, tables and pictures."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path

from loaderscope import __version__
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.recorded_training import exposed_seconds, training_of_results
from loaderscope.analysis.script_messages import ScriptMessage, distinct_messages, processes_text, similar_texts_text, trials_text
from loaderscope.analysis.training import training_of
from loaderscope.analysis.verdict import Verdict, current_setting, judge
from loaderscope.analysis.worker_rules import TITLE as RULES_TITLE
from loaderscope.analysis.worker_rules import worker_rules_table
from loaderscope.facts.captured import captured_sentence
from loaderscope.facts.consumers import consumer_text
from loaderscope.facts.purposes import PERFECT_LOADER
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run, environment_text
from loaderscope.facts.settings import SETTINGS, setting_text, value_text
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import bytes_text, count_text
from loaderscope.gui.charts.chart_figure import chart_figure
from loaderscope.gui.charts.memory_chart import MEMORY, memory_data, told_memory
from loaderscope.gui.charts.throughput_chart import THROUGHPUT_CHART, throughput_data, told_throughput
from loaderscope.gui.panels.finding_cards import finding_card, recommendation_card, tried_card
from loaderscope.gui.panels.findings_panel import NOTHING, NOTHING_OF_TRAINING
from loaderscope.gui.panels.results_panel import COLUMNS, PERFECT_LOADER_TIP, visible_columns
from loaderscope.gui.report.blocks import Block, Facts, Picture, Report, Section, Table, TableRow, Words, table_blocks
from loaderscope.gui.report.startup_section import startup_blocks
from loaderscope.gui.report.timeline_pictures import timeline_pictures
from loaderscope.gui.report.training_section import HEADING, training_blocks
from loaderscope.gui.run.run_state import Snapshot, setting_rows
from loaderscope.gui.style.figures import date_of
from loaderscope.gui.style.palette import LIGHT
from loaderscope.gui.style.words import trial_name
from loaderscope.session.file import SessionFile
from loaderscope.trace.model import Trace

MAX_MESSAGE_CHARACTERS = 1500
"""The message of a failing script can have any length."""

MAX_SCRIPT_TEXTS = 60


def build_report(session: SessionFile) -> Report:
    """Returns the report of an opened session.

    Raises:
        SessionError: the session is damaged.
    """
    run, results = session.run, list(session.results)
    verdict, training = judge(run, results), training_of_results(results)
    best = verdict.recommendation.config if verdict.recommendation is not None else None
    shown = representative_trial(results, best)
    trace = session.trace(shown.id) if shown is not None else None
    nothing = NOTHING if training is None else NOTHING_OF_TRAINING
    sections = [
        Section("What to do", _advice_blocks(verdict, results, nothing)),
        Section("Results", _result_blocks(run, results, verdict))
        if training is None
        else Section(HEADING, training_blocks(training, results)),
        Section(RULES_TITLE, _rule_blocks(run, verdict) if training is None else ()),
        Section("Timeline", timeline_pictures(session, results, current_setting(run), shown, trace)),
        Section("Start-up", startup_blocks(run, results, verdict.experiment)),
        Section("Figures", _chart_blocks(results, verdict, trace, shown)),
        Section("What the script said", _message_blocks(results)),
        Section("How it was measured", (_facts_block(run, results),)),
    ]
    colophon = f"Made by Loaderscope {__version__}."
    # with a recommendation, the first section begins with the same words
    summary = "" if verdict.recommendation is not None else shortened(verdict.summary) or "No trial was finished."
    return Report(run.target.name, Path(run.script).name, summary, tuple(part for part in sections if part.blocks), colophon)


def representative_trial(results: Sequence[TrialResult], best: TrialConfig | None) -> TrialResult | None:
    """Returns the trial that the report shows in detail: a good one of the recommended setting, else the last good one, else the last.

    Of a recorded training it is the loader for which the training waited longest.
    """
    loaders = [result for result in results if result.loader is not None]
    if loaders:
        return max(loaders, key=lambda result: (result.loader and exposed_seconds(result.loader)) or 0.0)
    tried = [result for result in results if status_of(result.status).was_tried]
    good = [result for result in tried if result.status == "ok" and result.replaced_by is None and result.purpose.is_of_setting]
    of_best = [result for result in good if result.config == best]
    return next(iter(of_best or good[-1:] or tried[-1:]), None)


def shortened(text: str) -> str:
    """Returns a text, cut to a length that somebody reads."""
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else text[:MAX_MESSAGE_CHARACTERS].rstrip() + " …"


def _advice_blocks(verdict: Verdict, results: Sequence[TrialResult], nothing: str) -> tuple[Block, ...]:
    findings = [dataclasses.replace(finding, message=shortened(finding.message)) for finding in verdict.findings]
    settings = () if any(result.loader is not None for result in results) else verdict.settings
    cards = [tried_card(tried, LIGHT) for tried in verdict.tried]
    if verdict.recommendation is not None:
        cards.append(recommendation_card(verdict.recommendation, LIGHT, has_links=False))
    cards += [finding_card(finding, LIGHT, settings=settings) for finding in findings]
    if not cards and any(result.status == "ok" for result in results):
        return (Words(html.escape(nothing)),)
    return tuple(cards)


def _result_blocks(run: Run, results: Sequence[TrialResult], verdict: Verdict) -> tuple[Block, ...]:
    rows = setting_rows(Snapshot(0, run, tuple(results), (), 0, 0, None, True, False, run.is_training), verdict)
    if not rows:
        return (Words("No trial was finished."),)
    columns = [column for index, column in enumerate(COLUMNS) if index in visible_columns(rows)]
    best = verdict.recommendation.config if verdict.recommendation is not None else None
    table = []
    for row in rows:
        cells = [column.text(row) for column in columns]
        if row.is_of(best):
            cells[0] = f"★ {cells[0]}"
        lacks_ceiling = row.purpose is PERFECT_LOADER and not row.shows_ceiling
        needs_reason = row.status != "ok" or row.incomparable_reason or lacks_ceiling
        words = PERFECT_LOADER_TIP + "." if row.shows_ceiling else ""
        note = " ".join(filter(None, (words, row.reason if needs_reason else "", row.incomparable_reason)))
        table.append(TableRow(tuple(cells), row.is_of(best), shortened(note)))
    return (Table(tuple(column.title for column in columns), tuple(column.tip for column in columns), tuple(table)),)


def _rule_blocks(run: Run, verdict: Verdict) -> tuple[Block, ...]:
    """Returns the usual rules for the number of workers, beside what was measured; nothing where settings were not compared."""
    if verdict.experiment is not None:
        return ()
    return tuple(table_blocks(worker_rules_table(verdict.settings, verdict.recommendation, len(run.environment.get("gpus") or ()))))


def _chart_blocks(results: Sequence[TrialResult], verdict: Verdict, trace: Trace | None, shown: TrialResult | None) -> tuple[Block, ...]:
    """Returns the charts that are not empty."""
    pictures = []
    throughput = throughput_data(verdict.settings, verdict.recommendation, verdict.ceiling)
    are_compared = verdict.experiment is None and not any(result.loader for result in results)
    if throughput.lines and are_compared:
        caption = "Steady throughput by number of workers, with 95 % intervals"
        alt_text = told_throughput(throughput)
        pictures.append(
            Picture(caption, lambda width: chart_figure(THROUGHPUT_CHART, throughput, size=_chart_size(width)), alt_text, is_half=True)
        )
    memory = memory_data(trace, shown.memory if shown is not None else None)
    if memory.lines and shown is not None:
        caption = f"Memory of each process, {trial_name(shown)}"
        alt_text = told_memory(memory)
        pictures.append(Picture(caption, lambda width: chart_figure(MEMORY, memory, size=_chart_size(width)), alt_text, is_half=True))
    return tuple(pictures)


def _chart_size(width: int) -> tuple[int, int]:
    return width, max(round(width * 0.45), 270)


def _message_blocks(results: Sequence[TrialResult]) -> tuple[Words, ...]:
    """Returns a paragraph for each text that the script warned of, logged or printed to stderr."""
    messages = distinct_messages((result.id, result.warnings) for result in results)
    tried_count = sum(status_of(result.status).was_tried for result in results)
    blocks = [_message_words(message, tried_count) for message in messages[:MAX_SCRIPT_TEXTS]]
    if len(messages) > MAX_SCRIPT_TEXTS:
        blocks.append(Words(f"And {count_text(len(messages) - MAX_SCRIPT_TEXTS, 'other text')}, which the session holds."))
    return tuple(blocks)


def _message_words(message: ScriptMessage, tried_count: int) -> Words:
    times = f" ×{message.count}" if message.count > 1 else ""
    facts = (processes_text(message.processes), trials_text(message.trials, tried_count), message.place or "")
    origin = html.escape(" · ".join(fact for fact in facts if fact))
    muted = f" <span style='color:{LIGHT.muted}'>{origin}</span>" if origin else ""
    lines = "<br>".join(map(_indented_html, message.text.splitlines()))
    return Words(f"<b>{html.escape(message.kind)}</b>{times}{muted}<br>{lines}{similar_texts_text(message)}")


def _indented_html(line: str) -> str:
    text = line.lstrip(" ")
    return "&nbsp;" * (len(line) - len(text)) + html.escape(text)


def _facts_block(run: Run, results: Sequence[TrialResult]) -> Facts:
    request, environment, target = run.request, run.environment, run.target
    axes = [
        f"{setting.label} {', '.join(value_text(value) for value in values)}"
        for setting in SETTINGS
        if (values := getattr(request.axes, setting.field))
    ]
    batches = "all" if request.batches is None else request.batches
    epochs = "epochs as needed" if request.epochs is None else count_text(request.epochs, "epoch")
    current = current_setting(run)
    settings_tried = [result for result in results if result.purpose.is_of_setting]
    not_run_count = len(run.plan) - len(results)
    memory_bytes = environment.get("memory_bytes")
    of_sweep = [
        ("target", f"{target.name} ({target.type_name or target.kind})"),
        ("captured", captured_sentence(target.captured) if target.captured is not None else ""),
        ("samples", "" if target.length is None else count_text(target.length, "sample")),
        ("consumer", consumer_text(request.consumer)),
        ("axes", "; ".join(axes)),
        ("each trial", f"{batches} batches, {epochs}, measured {count_text(request.repeats, 'time')}"),
        ("not run", f"{count_text(not_run_count, 'trial')} of {len(run.plan)}: the sweep ended before" if not_run_count > 0 else ""),
        ("your setting", setting_text(current) if current is not None else ""),
        ("training assumed", training_of(request, settings_tried, current).text),
    ]
    facts = [
        ("script", run.script),
        *(of_sweep if training_of_results(results) is None else [("recorded", "the whole training, as it ran")]),
        ("platform", environment.get("platform")),
        ("processors", f"{environment.get('usable_cpus')} usable of {environment.get('cpu_count')}"),
        ("memory", bytes_text(memory_bytes) if memory_bytes else ""),
        ("GPU, versions", environment_text(environment)),
        ("date", date_of(run)),
    ]
    return Facts(tuple((name, str(value)) for name, value in facts if value))
