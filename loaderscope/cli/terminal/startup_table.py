"""A start-up experiment on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType

from loaderscope.analysis.startup.experiment_tables import experiment_tables, per_worker_sentence, preloaded_sentence
from loaderscope.cli.terminal.console import spaced
from loaderscope.cli.terminal.sentence import Sentence
from loaderscope.cli.terminal.text_table import table_section


def experiment_section(experiment: dict[str, Any]) -> RenderableType:
    """Returns the summary, what starts cost, the controls, the remedies, and from which epoch length on workers pay.

    Args:
        experiment: the `startup_experiment` of a JSON document.
    """
    costs, *others = experiment_tables(experiment)
    sentences = (Sentence(text, indent=2) if text else None for text in (preloaded_sentence(experiment), per_worker_sentence(experiment)))
    return spaced([Sentence(experiment["summary"]), table_section(costs), *sentences, *map(table_section, others)])
