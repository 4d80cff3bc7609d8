"""A start-up experiment on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType

from loaderscope.analysis.startup.experiment_tables import ExperimentTable, experiment_tables, per_worker_sentence, preloaded_sentence
from loaderscope.cli.terminal.console import spaced, stacked
from loaderscope.cli.terminal.sentence import Sentence
from loaderscope.cli.terminal.table import AlignedTable


def experiment_section(experiment: dict[str, Any]) -> RenderableType:
    """Returns the summary, what starts cost, the controls, the remedies, and from which epoch length on workers pay.

    Args:
        experiment: the `startup_experiment` of a JSON document.
    """
    costs, *others = experiment_tables(experiment)
    sentences = (Sentence(text, indent=2) if text else None for text in (preloaded_sentence(experiment), per_worker_sentence(experiment)))
    return spaced([Sentence(experiment["summary"]), _table_section(costs), *sentences, *map(_table_section, others)])


def _table_section(table: ExperimentTable) -> RenderableType | None:
    """Returns the rows, then the problems, then the legend in parentheses. Without rows only the problems."""
    problems = [Sentence(problem, indent=2) for problem in table.problems]
    if not table.rows:
        return stacked(problems)
    rows = AlignedTable()
    for column in table.columns:
        rows.add_column(column.title, column.is_text)
    for cells in table.rows:
        rows.add_row(*cells)
    return stacked([rows, *problems, Sentence((f"({table.legend})", "muted"))])
