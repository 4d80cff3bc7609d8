"""What a report tells of the time before the first batch."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Sequence

from loaderscope.analysis.startup.experiment import StartupExperiment
from loaderscope.facts.results import ImportCost, TrialResult
from loaderscope.facts.run import Run
from loaderscope.facts.text import bytes_text, duration_text, share_text
from loaderscope.gui.charts.chart_figure import chart_figure
from loaderscope.gui.charts.experiment_chart import PAINT, ExperimentData, height_px
from loaderscope.gui.charts.startup_chart import height_px as bars_height_px
from loaderscope.gui.charts.startup_chart import paint_startup, startup_data, told_startup
from loaderscope.gui.charts.treemap import paint_sent, sent_data
from loaderscope.gui.report.blocks import Block, Listing, Picture, Table, TableRow, Words
from loaderscope.gui.run import startup_sentences
from loaderscope.gui.style.figures import Figure
from loaderscope.session.startup_table import format_experiment

MOST_IMPORTS = 20
LISTING_COLUMNS = 110
LEAST_SENT_BYTES = 1024
"""What each worker is sent is told from this size on."""
MOST_ALONE = 0.95
"""Of what is sent, by one part: from there on a picture of areas would be one area."""

_CAPTIONS = {
    "per worker": "Time to the first batch by number of workers",
    "per epoch": "What each epoch waits for its first batch, and its end",
    "break-even": "Epoch lengths from which workers are quicker than none, with nothing done to the batches",
    "remedies": "Seconds that each remedy saves, predicted beside measured",
    "controls": "An interpreter and its heaviest imports by themselves",
}

_PICTURES = {"per worker": True, "controls": True, "per epoch": False, "break-even": False, "remedies": False}
"""The charts of the experiment, and whether each is half as wide as the page."""


def startup_blocks(run: Run, results: Sequence[TrialResult], experiment: StartupExperiment | None) -> tuple[Block, ...]:
    """Phases, what is sent, what is imported, and the experiment, as far as the session has them."""
    blocks: list[Block] = []
    bars = startup_data(results)
    if bars.bars:
        blocks.append(Words(html.escape(startup_sentences.culprit_sentence(startup_sentences.slowest_start(results)))))
        height = max(270, bars_height_px(bars))
        caption = "Time from iter() to the first batch, by phase, of the first worker of every setting"
        blocks.append(Picture(caption, lambda width: chart_figure(paint_startup, bars, size=(width, height)), told_startup(bars)))
    blocks += _sent(run)
    blocks += _imports(results)
    if experiment is not None and experiment.costs:
        blocks += _experiment(experiment)
    return tuple(blocks)


def _sent(run: Run) -> list[Block]:
    parts = [part for part in run.sent or () if part.bytes > 0]
    total = sum(part.bytes for part in parts)
    if total < LEAST_SENT_BYTES:
        return []
    data = sent_data(parts)
    rows = [
        TableRow(
            (
                part.attribute,
                part.type_name,
                bytes_text(part.bytes),
                share_text(part.bytes / total),
                duration_text(part.pickle_s),
                duration_text(part.unpickle_s),
            )
        )
        for part in data.parts or ()
    ]
    tips = ("", "", "Size of its pickle", "Part of all that is sent", "In the main process, for each worker", "In each worker")
    picture = Picture(
        "What each worker is sent, by bytes",
        lambda width: chart_figure(paint_sent, data, size=(width, 240)),
        "The numbers are in the table below.",
    )
    return [
        Words(html.escape(startup_sentences.sent_sentence(run.sent))),
        *([picture] if max(part.bytes for part in parts) < MOST_ALONE * total else []),
        Table(("attribute", "type", "bytes", "share", "pickle", "unpickle"), tips, tuple(rows), names=2),
    ]


def _imports(results: Sequence[TrialResult]) -> list[Block]:
    """Of the first good trial whose worker imports the script again with the fewest beside it."""
    known = [result for result in results if result.status == "ok" and result.startup is not None and result.startup.imports]
    if not known:
        return []
    result = min(known, key=lambda result: result.config.num_workers)
    imports = result.startup.imports if result.startup is not None else []
    rows = [_import_row(cost) for cost in imports[:MOST_IMPORTS]]
    tips = ("", "Which module imported it first", "Without the modules that it imports itself", "With them")
    words = Words(html.escape(startup_sentences.imports_sentence(result)))
    return [words, Table(("module", "imported by", "own", "total"), tips, tuple(rows), names=2)]


def _import_row(cost: ImportCost) -> TableRow:
    return TableRow((cost.name, cost.parent or "the script", duration_text(cost.own_s), duration_text(cost.total_s)))


def _experiment(experiment: StartupExperiment) -> list[Block]:
    sentence = startup_sentences.per_worker_sentence(experiment)  # the report begins with the summary that belongs to it
    blocks: list[Block] = [Words(html.escape(sentence))] if sentence else []
    for name, is_half in _PICTURES.items():
        told = startup_sentences.experiment_sentence(experiment, name)
        blocks.append(Picture(_CAPTIONS[name], functools.partial(_chart, name, ExperimentData(experiment)), told, is_half=is_half))
    return [*blocks, Listing(format_experiment(dataclasses.asdict(experiment), LISTING_COLUMNS))]


def _chart(name: str, data: ExperimentData, width: int) -> Figure:
    return chart_figure(PAINT[name], data, size=(width, max(270, height_px(name, data))))
