"""A start-up experiment as text for a terminal."""

from __future__ import annotations

from typing import Any

from loaderscope.analysis.startup.experiment_tables import ExperimentTable, experiment_tables, per_worker_sentence, preloaded_sentence
from loaderscope.cli.terminal.text_columns import align, wrap


def format_experiment(experiment: dict[str, Any], width: int) -> str:
    """Returns the summary, what starts cost, the controls, the remedies, and from which epoch length on workers pay.

    Args:
        experiment: the `startup_experiment` of a JSON document.
        width: columns of the terminal.
    """
    costs, *others = experiment_tables(experiment)
    parts = [
        wrap(experiment["summary"], width),
        _format_table(costs, width),
        wrap(preloaded_sentence(experiment), width, "  "),
        wrap(per_worker_sentence(experiment), width, "  "),
        *(_format_table(table, width) for table in others),
    ]
    return "\n\n".join("\n".join(line[:width].rstrip() for line in part.splitlines()) for part in parts if part)


def _format_table(table: ExperimentTable, width: int) -> str:
    """Aligned rows, then the problems, then the legend in parentheses. Without rows only the problems."""
    problems = [wrap(problem, width, "  ") for problem in table.problems]
    if not table.rows:
        return "\n".join(problems)
    titles = [column.title for column in table.columns]
    rows = align([titles, *map(list, table.rows)], left={number for number, column in enumerate(table.columns) if column.is_text})
    return "\n".join([*rows, *problems, wrap(f"({table.legend})", width)])
