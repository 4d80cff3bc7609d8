"""What a report tells, whatever it is written as: sections of words, tables and pictures."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path

from loaderscope import __version__
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.verdict import Verdict, current_setting, judge
from loaderscope.facts.consumers import consumer_text
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run, environment_text
from loaderscope.facts.settings import SETTINGS, setting_text, value_text
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import bytes_text, count_text
from loaderscope.gui.charts.chart_figure import chart_figure
from loaderscope.gui.charts.memory_chart import memory_data, paint_memory, told_memory
from loaderscope.gui.charts.throughput_chart import paint_throughput, throughput_data, told_throughput
from loaderscope.gui.panels.findings_panel import NOTHING, findings_blocks
from loaderscope.gui.panels.results_panel import COLUMNS, visible_columns
from loaderscope.gui.report.blocks import Block, Facts, Picture, Report, Section, Table, TableRow, Words
from loaderscope.gui.report.messages_section import said_blocks
from loaderscope.gui.report.startup_section import startup_blocks
from loaderscope.gui.report.timeline_pictures import timeline_pictures
from loaderscope.gui.run.run_state import Snapshot, rows_of
from loaderscope.gui.style.figures import date_of
from loaderscope.gui.style.palette import LIGHT
from loaderscope.session.file import SessionFile
from loaderscope.trace.model import Trace

MOST_CHARACTERS = 1500
"""Of one message; what a failing script says can be any length."""


def gather(session: SessionFile) -> Report:
    """The report of an opened session.

    Raises:
        SessionError: it is damaged.
    """
    run, results = session.run, list(session.results)
    verdict = judge(run, results)
    best = verdict.recommendation.config if verdict.recommendation is not None else None
    shown = shown_trial(results, best)
    trace = session.trace(shown.id) if shown is not None else None
    sections = [
        Section("What to do", _advice(verdict, results)),
        Section("Results", _results(run, results, verdict)),
        Section("Timeline", timeline_pictures(session, results, current_setting(run), shown, trace)),
        Section("Start-up", startup_blocks(run, results, verdict.experiment)),
        Section("Figures", _charts(results, verdict, trace, shown)),
        Section("What the script said", said_blocks(results)),
        Section("How it was measured", (_facts(run, results),)),
    ]
    colophon = f"Made by Loaderscope {__version__}."
    # with a recommendation, the first section begins with the same words
    summary = "" if verdict.recommendation is not None else shortened(verdict.summary) or "No trial was finished."
    return Report(run.target.name, Path(run.script).name, summary, tuple(part for part in sections if part.blocks), colophon)


def shown_trial(results: Sequence[TrialResult], best: TrialConfig | None) -> TrialResult | None:
    """A good trial of the recommended setting, else the last that ran."""
    run = [result for result in results if status_of(result.status).was_tried]
    good = [result for result in run if result.status == "ok"]
    of_best = [result for result in good if result.config == best]
    return next(iter(of_best or good[-1:] or run[-1:]), None)


def shortened(text: str) -> str:
    """A text that is not longer than anybody reads."""
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS].rstrip() + " …"


def _advice(verdict: Verdict, results: Sequence[TrialResult]) -> tuple[Block, ...]:
    findings = [dataclasses.replace(finding, message=shortened(finding.message)) for finding in verdict.findings]
    blocks = findings_blocks(findings, verdict.recommendation, LIGHT, links=False)
    if not blocks and any(result.status == "ok" for result in results):
        blocks = [html.escape(NOTHING)]
    return tuple(Words(block) for block in blocks)


def _results(run: Run, results: Sequence[TrialResult], verdict: Verdict) -> tuple[Block, ...]:
    rows = rows_of(Snapshot(0, run, tuple(results), None, 0, 0, None, True, False), verdict.settings)
    if not rows:
        return (Words("No trial was finished."),)
    columns = [column for index, column in enumerate(COLUMNS) if index in visible_columns(rows)]
    best = verdict.recommendation.config if verdict.recommendation is not None else None
    table = []
    for row in rows:
        cells = [column.text(row) for column in columns]
        if row.config == best:
            cells[0] = f"★ {cells[0]}"
        note = " ".join(part for part in (row.reason, row.incomparable) if part) if row.status != "ok" or row.incomparable else ""
        table.append(TableRow(tuple(cells), row.config == best, shortened(note)))
    return (Table(tuple(column.title for column in columns), tuple(column.tip for column in columns), tuple(table)),)


def _charts(results: Sequence[TrialResult], verdict: Verdict, trace: Trace | None, shown: TrialResult | None) -> tuple[Block, ...]:
    """The charts that show something."""
    pictures = []
    throughput = throughput_data(verdict.settings, verdict.recommendation)
    if throughput.lines and verdict.experiment is None:
        caption = "Steady throughput by number of workers, with 95 % intervals"
        told = told_throughput(throughput)
        pictures.append(
            Picture(caption, lambda width: chart_figure(paint_throughput, throughput, size=_chart_size(width)), told, is_half=True)
        )
    memory = memory_data(trace, shown.memory if shown is not None else None)
    if memory.lines and shown is not None:
        caption = f"Memory of each process, trial {shown.id} · {setting_text(shown.config)}"
        told = told_memory(memory)
        pictures.append(Picture(caption, lambda width: chart_figure(paint_memory, memory, size=_chart_size(width)), told, is_half=True))
    return tuple(pictures)


def _chart_size(width: int) -> tuple[int, int]:
    return width, max(round(width * 0.45), 270)


def _facts(run: Run, results: Sequence[TrialResult]) -> Facts:
    request, environment, target = run.request, run.environment, run.target
    axes = [
        f"{setting.label} {', '.join(value_text(value) for value in values)}"
        for setting in SETTINGS
        if (values := getattr(request.axes, setting.field))
    ]
    batches = "all" if request.batches is None else request.batches
    current = current_setting(run)
    not_run = len(run.plan) - len(results)
    memory_bytes = environment.get("memory_bytes")
    facts = [
        ("script", run.script),
        ("target", f"{target.name} ({target.type_name or target.kind})"),
        ("samples", "" if target.length is None else count_text(target.length, "sample")),
        ("consumer", consumer_text(request.consumer)),
        ("axes", "; ".join(axes)),
        ("each trial", f"{batches} batches, {count_text(request.epochs, 'epoch')}, measured {count_text(request.repeats, 'time')}"),
        ("not run", f"{count_text(not_run, 'trial')} of {len(run.plan)}: the sweep ended before" if not_run > 0 else ""),
        ("your setting", setting_text(current) if current is not None else ""),
        ("training assumed", count_text(request.train_epochs, "epoch")),
        ("platform", environment.get("platform")),
        ("processors", f"{environment.get('usable_cpus')} usable of {environment.get('cpu_count')}"),
        ("memory", bytes_text(memory_bytes) if memory_bytes else ""),
        ("GPU, versions", environment_text(environment)),
        ("date", date_of(run)),
    ]
    return Facts(tuple((name, str(value)) for name, value in facts if value))
