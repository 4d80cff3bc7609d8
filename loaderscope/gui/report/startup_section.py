"""The report's section about the time before the first batch."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Iterator, Sequence

from loaderscope.analysis.startup.experiment import StartupExperiment
from loaderscope.analysis.startup.experiment_tables import experiment_tables, per_worker_sentence, preloaded_sentence
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run
from loaderscope.facts.startup_results import ImportCost
from loaderscope.facts.text import bytes_text, duration_text, share_text
from loaderscope.gui.charts.chart_figure import chart_figure
from loaderscope.gui.charts.experiment_chart import KINDS, ExperimentData, height_px
from loaderscope.gui.charts.startup_chart import STARTUP, startup_data, told_startup
from loaderscope.gui.charts.startup_chart import height_px as bars_height_px
from loaderscope.gui.charts.treemap import sent_data, sent_figure
from loaderscope.gui.report.blocks import Block, Picture, Table, TableRow, Words, table_blocks
from loaderscope.gui.run import startup_sentences
from loaderscope.gui.style.figures import Figure

MOST_IMPORTS = 20
LEAST_SENT_BYTES = 1024
"""The report lists what each worker is sent from this size on."""
DOMINANT_SHARE = 0.95
"""From this share of all bytes on, one part would fill the picture of areas."""

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
    """Returns the phases of a start, what workers are sent and import, and the experiment; none for what was not measured.

    Of a recorded training it returns only loaders with workers, as there is nothing to compare them with.
    """
    blocks: list[Block] = []
    is_training = any(result.loader is not None for result in results)
    results = [result for result in results if not is_training or result.config.num_workers]
    bars = startup_data(results)
    if bars.bars:
        blocks.append(Words(html.escape(startup_sentences.culprit_sentence(startup_sentences.slowest_start(results)))))
        height = max(270, bars_height_px(bars))
        caption = f"Time from iter() to the first batch, by phase, of the first worker of every {'loader' if is_training else 'setting'}"
        blocks.append(Picture(caption, lambda width: chart_figure(STARTUP, bars, size=(width, height)), told_startup(bars)))
    blocks += _sent_blocks(run)
    blocks += _import_blocks(results)
    if experiment is not None and experiment.costs:
        blocks += _experiment_blocks(experiment)
    return tuple(blocks)


def _sent_blocks(run: Run) -> list[Block]:
    parts = [part for part in run.sent or () if part.bytes > 0]
    total_bytes = sum(part.bytes for part in parts)
    if total_bytes < LEAST_SENT_BYTES:
        return []
    data = sent_data(parts)
    rows = [
        TableRow(
            (
                part.attribute,
                part.type_name,
                bytes_text(part.bytes),
                share_text(part.bytes / total_bytes),
                duration_text(part.pickle_s),
                duration_text(part.unpickle_s),
            )
        )
        for part in data.parts or ()
    ]
    tips = ("", "", "Size of its pickle", "Part of all that is sent", "In the main process, for each worker", "In each worker")
    picture = Picture(
        "What each worker is sent, by bytes",
        lambda width: sent_figure(data, size=(width, 240)),
        "The numbers are in the table below.",
    )
    return [
        Words(html.escape(startup_sentences.sent_sentence(run.sent))),
        *([picture] if max(part.bytes for part in parts) < DOMINANT_SHARE * total_bytes else []),
        Table(("attribute", "type", "bytes", "share", "pickle", "unpickle"), tips, tuple(rows), names=2),
    ]


def _import_blocks(results: Sequence[TrialResult]) -> list[Block]:
    """Shows the trial with the fewest workers: their imports slow each other down least."""
    with_imports = [result for result in results if result.status == "ok" and result.startup is not None and result.startup.imports]
    if not with_imports:
        return []
    result = min(with_imports, key=lambda result: result.config.num_workers)
    imports = result.startup.imports if result.startup is not None else []
    rows = [_import_row(cost) for cost in imports[:MOST_IMPORTS]]
    tips = ("", "Which module imported it first", "Without the modules that it imports itself", "With them")
    words = Words(html.escape(startup_sentences.imports_sentence(result)))
    return [words, Table(("module", "imported by", "own", "total"), tips, tuple(rows), names=2)]


def _import_row(cost: ImportCost) -> TableRow:
    return TableRow((cost.name, cost.parent or "the script", duration_text(cost.own_s), duration_text(cost.total_s)))


def _experiment_blocks(experiment: StartupExperiment) -> Iterator[Block]:
    """Yields charts and tables. The experiment's own summary is missing, as the report begins with it."""
    start_lines = startup_sentences.per_worker_sentence(experiment)
    if start_lines:
        yield Words(html.escape(start_lines))
    for name, is_half in _PICTURES.items():
        description = startup_sentences.experiment_sentence(experiment, name)
        figure = functools.partial(_chart, name, ExperimentData(experiment))
        yield Picture(_CAPTIONS[name], figure, description, is_half=is_half)
    document = dataclasses.asdict(experiment)
    costs, *others = experiment_tables(document)
    yield from table_blocks(costs)
    for sentence in filter(None, (preloaded_sentence(document), per_worker_sentence(document))):
        yield Words(html.escape(f"{sentence}."))
    for table in others:
        yield from table_blocks(table)


def _chart(name: str, data: ExperimentData, width: int) -> Figure:
    return chart_figure(KINDS[name], data, size=(width, max(270, height_px(name, data))))
