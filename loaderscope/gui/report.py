"""The report of a session: one file with the recommendation, figures, results and the environment."""

from __future__ import annotations

import base64
import dataclasses
import html
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QMarginsF, QUrl
from PySide6.QtGui import QFont, QImage, QPageLayout, QPageSize, QPdfWriter, QTextDocument

from loaderscope import __version__
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.results import TrialResult
from loaderscope.gui.charts.figure import chart_figure
from loaderscope.gui.charts.memory import memory_data, paint_memory
from loaderscope.gui.charts.startup import paint_startup, startup_data
from loaderscope.gui.charts.throughput import paint_throughput, throughput_data
from loaderscope.gui.figures import FigureError, caption_of, ensure_application, png_bytes
from loaderscope.gui.palette import LIGHT
from loaderscope.gui.panels.findings import findings_html
from loaderscope.gui.panels.results import COLUMNS, visible_columns
from loaderscope.gui.run_state import SettingRow, Snapshot, rows_of
from loaderscope.gui.timeline.figure import render, timeline_figure
from loaderscope.gui.words import AXIS_LABELS, config_text, consumer_text, count_text, pair_title, value_text
from loaderscope.session.file import SessionFile
from loaderscope.session.verdict import Verdict, judge
from loaderscope.sweep.sink import Run
from loaderscope.trace.model import Trace

PRINT_WIDTH_PX = 690  # of an A4 page, at 96 to the inch

_STYLE = f"""
body {{ font: 15px/1.5 system-ui, "Segoe UI", sans-serif; color: {LIGHT.text}; background: {LIGHT.window}; margin: 0; }}
main {{ max-width: 1180px; margin: 0 auto; padding: 28px 24px 48px; }}
h1 {{ font-size: 26px; margin: 0 0 4px; }} h2 {{ font-size: 17px; margin: 32px 0 8px; }}
p.lead {{ font-size: 17px; margin: 6px 0 0; }} .muted {{ color: {LIGHT.muted}; }}
figure {{ margin: 12px 0; background: {LIGHT.base}; border: 1px solid {LIGHT.border}; border-radius: 4px; padding: 8px; }}
figure img {{ width: 100%; display: block; }} figcaption {{ color: {LIGHT.muted}; font-size: 13px; padding: 4px 4px 0; }}
.pair {{ display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }} @media (max-width: 900px) {{ .pair {{ display: block; }} }}
table {{ border-collapse: collapse; background: {LIGHT.base}; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 4px 10px; border-bottom: 1px solid {LIGHT.grid}; text-align: right; white-space: nowrap; }}
th {{ border-bottom: 1px solid {LIGHT.border}; }} tr.best td {{ background: #e3f0f9; font-weight: 600; }}
table.facts td {{ text-align: left; white-space: normal; }} .scroll {{ overflow-x: auto; }}
"""

_PRINT_STYLE = f"""
h1 {{ font-size: 18pt; }} h2 {{ font-size: 12pt; }} p.lead {{ font-size: 11pt; }}
.muted {{ color: {LIGHT.muted}; }} th, td {{ padding: 1px 4px; font-size: 8pt; white-space: nowrap; }} tr.best td {{ font-weight: 600; }}
"""


@dataclasses.dataclass(frozen=True)
class _Content:
    """What a report is made of."""

    run: Run
    results: list[TrialResult]
    verdict: Verdict
    shown: TrialResult | None  # the trial whose timeline stands for the run
    trace: Trace | None

    @property
    def shown_title(self) -> str:
        return "" if self.shown is None else f"trial {self.shown.id} · {config_text(self.shown.config)}"


def write_timeline(session: Path, output: Path, trials: Sequence[int]) -> None:
    """Writes the timeline of one trial, or of two aligned at their first batch, as a figure; works without a display.

    Args:
        session: the file.
        output: ends in `.png`, `.svg` or `.pdf`.
        trials: numbers of one or two trials, from top to bottom.

    Raises:
        SessionError: the session cannot be read.
        ValueError: a trial has no timeline, or two cannot be aligned.
    """
    ensure_application()
    with SessionFile.open(session) as opened:
        shown = []
        for number in trials:
            result = next((result for result in opened.results if result.id == number), None)
            trace = opened.trace(number) if result is not None else None
            if result is None or trace is None or trace.origin_ns is None:
                raise ValueError(f"trial {number} has no timeline; `loaderscope show` lists the trials of a session")
            shown.append((trace, pair_title(result)))
        run = opened.run
    (trace, title), below = shown[0], shown[1] if len(shown) > 1 else None
    try:
        render(trace, output, title=title, caption=caption_of(run), below=below)
    except FigureError as error:
        raise ValueError(str(error).rstrip(".")) from error


def write_report(session: Path, outputs: Sequence[Path]) -> None:
    """Writes reports and figures of a session file; works without a display.

    Args:
        session: the file.
        outputs: `.html` and `.pdf` give the whole report, `.png` and `.svg` the timeline of the recommended setting.

    Raises:
        SessionError: the session cannot be read.
        ValueError: an output ends otherwise, or there is no timeline to draw.
        OSError: an output cannot be written.
    """
    ensure_application()
    with SessionFile.open(session) as opened:
        content = _content(opened)
    for output in outputs:
        suffix = output.suffix.lower()
        if suffix == ".html":
            output.write_text(_html(content), encoding="utf-8")
        elif suffix == ".pdf":
            _write_pdf(content, output)
        elif content.trace is None:
            raise ValueError("no trial of this session has a timeline")
        else:
            try:
                render(content.trace, output, title=content.shown_title, caption=caption_of(content.run))
            except FigureError as error:
                raise OSError(str(error)) from error


def _content(session: SessionFile) -> _Content:
    run, results = session.run, list(session.results)
    verdict = judge(run, results)
    best = verdict.recommendation.config if verdict.recommendation is not None else None
    shown = _shown_trial(results, best)
    return _Content(run, results, verdict, shown, session.trace(shown.id) if shown is not None else None)


def _shown_trial(results: Sequence[TrialResult], best: TrialConfig | None) -> TrialResult | None:
    """A good trial of the recommended setting, else the last that ran."""
    run = [result for result in results if result.status != "skipped"]
    good = [result for result in run if result.status == "ok"]
    of_best = [result for result in good if result.config == best]
    return next(iter(of_best or good[-1:] or run[-1:]), None)


def _html(content: _Content) -> str:
    """The whole report as a page that needs nothing else."""
    title = html.escape(f"{content.run.target.name} of {Path(content.run.script).name} – Loaderscope")
    head = f"<meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body><main>{_body(content, _data_uri)}</main></body></html>"


def _body(content: _Content, source: Callable[[str, QImage], str]) -> str:
    """Everything that is told. `source` gives what stands in an image's src."""
    run, verdict = content.run, content.verdict
    name = Path(run.script).name
    snapshot = Snapshot(0, run, tuple(content.results), None, 0, 0, None, True, False)
    rows = rows_of(snapshot, verdict.settings)
    parts = [
        f"<h1>{html.escape(run.target.name)} <span class='muted'>of {html.escape(name)}</span></h1>",
        f"<p class='lead'>{html.escape(verdict.summary)}</p>",
        "<h2>What to do</h2>",
        findings_html(verdict.findings, verdict.recommendation, LIGHT, links=False)
        or "<p>Nothing is wrong as far as these trials can tell.</p>",
        "<h2>Results</h2>",
        _table(rows, verdict),
    ]
    if content.trace is not None:
        image = timeline_figure(content.trace, title=content.shown_title, caption=caption_of(run)).image()
        parts += ["<h2>Timeline</h2>", _figure(source("timeline", image), content.shown_title)]
    parts += ["<h2>Figures</h2>", "<div class='pair'>"]
    verdict_data = throughput_data(verdict.settings, verdict.recommendation)
    startup, memory = startup_data(content.results), memory_data(content.trace)
    images = (
        (
            "throughput",
            "Steady throughput by number of workers, with 95 % intervals",
            chart_figure(paint_throughput, verdict_data).image(),
        ),
        ("startup", "Time from iter() to the first batch, by phase", chart_figure(paint_startup, startup).image()),
        ("memory", f"Memory of each process, {content.shown_title}", chart_figure(paint_memory, memory).image()),
    )
    parts += [_figure(source(key, image), caption) for key, caption, image in images]
    parts += ["</div>", "<h2>How it was measured</h2>", _facts(run)]
    parts.append(f"<p class='muted'>Made by Loaderscope {__version__}.</p>")
    return "\n".join(parts)


def _figure(source: str, caption: str) -> str:
    text = html.escape(caption)
    return f"<figure><img src='{source}' alt='{text}'><figcaption>{text}</figcaption></figure>"


def _table(rows: list[SettingRow], verdict: Verdict) -> str:
    columns = [column for index, column in enumerate(COLUMNS) if index in visible_columns(rows)]
    best = verdict.recommendation.config if verdict.recommendation is not None else None
    head = "".join(f"<th title='{html.escape(column.tip)}'>{html.escape(column.title)}</th>" for column in columns)
    lines = []
    for row in rows:
        texts = [column.text(row) for column in columns]
        if row.config == best:
            texts[0] = f"★ {texts[0]}"
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
        reason = (
            f"<tr><td colspan='{len(columns)}' class='muted' style='text-align:left'>{html.escape(row.reason)}</td></tr>"
            if row.status != "ok" and row.reason
            else ""
        )
        lines.append(f"<tr{' class=best' if row.config == best else ''}>{cells}</tr>{reason}")
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _facts(run: Run) -> str:
    request, environment, target = run.request, run.environment, run.target
    axes = [
        f"{AXIS_LABELS[name]} {', '.join(value_text(value) for value in values)}"
        for name, values in dataclasses.asdict(request.axes).items()
        if values and name in AXIS_LABELS
    ]
    gpus = [gpu.get("name", "GPU") if isinstance(gpu, dict) else str(gpu) for gpu in environment.get("gpus") or ()]
    batches = "all" if request.batches is None else request.batches
    facts = [
        ("script", run.script),
        (
            "target",
            f"{target.name} ({target.type_name or target.kind})"
            + (f", {count_text(target.length, 'sample')}" if target.length is not None else ""),
        ),
        ("consumer", consumer_text(request.consumer)),
        ("axes", "; ".join(axes)),
        ("each trial", f"{batches} batches, {count_text(request.epochs, 'epoch')}, measured {count_text(request.repeats, 'time')}"),
        ("training assumed", count_text(request.train_epochs, "epoch")),
        ("platform", environment.get("platform")),
        ("processors", f"{environment.get('usable_cpus')} usable of {environment.get('cpu_count')}"),
        ("GPU", ", ".join(gpus) or "none"),
        ("Python, torch", f"{environment.get('python')}, {environment.get('torch')}"),
    ]
    lines = "".join(
        f"<tr><td class='muted'>{html.escape(name)}</td><td style='white-space: normal'>{html.escape(str(value))}</td></tr>"
        for name, value in facts
        if value
    )
    return f"<table class='facts'>{lines}</table>"


def _data_uri(_name: str, image: QImage) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")


def _write_pdf(content: _Content, path: Path) -> None:
    """The same page through Qt's text layout, which knows less of CSS but needs no browser."""
    path.open("wb").close()  # Qt says nothing where it may not write: this raises the reason
    document = QTextDocument()
    document.setDefaultFont(QFont("sans-serif", 9))
    document.setDefaultStyleSheet(_PRINT_STYLE)

    def add(name: str, image: QImage) -> str:
        image.setDevicePixelRatio(1.0)
        document.addResource(QTextDocument.ResourceType.ImageResource.value, QUrl(name), image)
        return name

    writer = QPdfWriter(str(path))
    writer.setPageLayout(QPageLayout(QPageSize(QPageSize.PageSizeId.A4), QPageLayout.Orientation.Portrait, QMarginsF(12, 12, 12, 12)))
    writer.setTitle("Loaderscope")
    text = _body(content, add)
    for tag, plain in (("<figure>", "<p>"), ("<figcaption>", "<br>"), ("</figcaption>", ""), ("</figure>", "</p>")):
        text = text.replace(tag, plain)
    text = text.replace("<img ", f"<img width='{PRINT_WIDTH_PX}' ")
    # the picture seldom has room below the table, and its heading must not stay behind
    text = text.replace("<h2>Timeline", "<h2 style='page-break-before: always'>Timeline")
    document.setHtml(f"<html><body>{text}</body></html>")
    document.print_(writer)
