"""The report's section about a recorded training: when it waited for data, for which loader, and what it did outside its loaders."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence

from loaderscope.analysis.recorded_training import RecordedTraining, gaps_of_results, loaders_of_results
from loaderscope.analysis.training_tables import training_facts_text, training_tables
from loaderscope.facts.results import TrialResult
from loaderscope.gui.charts.chart_figure import chart_figure
from loaderscope.gui.charts.exposed_chart import EXPOSED, exposed_data, told_exposed
from loaderscope.gui.report.blocks import Block, Picture, Words, table_blocks

HEADING = "Waiting for data"

_CAPTION = "Share of its time for which the training waited for data"
_HEIGHT_PX = 220


def training_blocks(training: RecordedTraining, results: Sequence[TrialResult]) -> tuple[Block, ...]:
    """Returns facts, the chart over time, and the tables of loaders, epochs and gaps. The report itself begins with the sentence."""
    data = exposed_data(training)
    blocks: list[Block] = [Words(html.escape(training_facts_text(dataclasses.asdict(training))))]
    if data.shares:
        blocks.append(Picture(_CAPTION, lambda width: chart_figure(EXPOSED, data, size=(width, _HEIGHT_PX)), told_exposed(data)))
    gaps = [dataclasses.asdict(gap) for gap in gaps_of_results(results)]
    for table in training_tables({"loaders": loaders_of_results(results), "gaps": gaps}):
        blocks += table_blocks(table)
    return tuple(blocks)
