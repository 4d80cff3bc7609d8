"""The usual rules for the number of workers, beside what was measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from loaderscope.analysis.text_table import Column, TextTable
from loaderscope.facts.measures import throughput_of
from loaderscope.facts.results import Recommendation, SettingResult
from loaderscope.facts.text import MISSING, count_text

TITLE = "Rules of thumb for the number of workers, beside what was measured"


@dataclasses.dataclass(frozen=True)
class WorkerRule:
    """A range of numbers of workers, and what it is said to suit.

    Attributes:
        words: the range.
        situation: what it suits.
        least: the fewest workers; None if the rule says nothing about this machine.
        most: the most workers; None for any number above.
    """

    words: str
    situation: str
    least: int | None
    most: int | None


def worker_rules(gpu_count: int) -> tuple[WorkerRule, ...]:
    """Returns the rules that courses and forums teach; the one by GPUs for the GPUs of this machine."""
    by_gpus = 4 * gpu_count or None
    situation = f"{count_text(gpu_count, 'GPU')} here" if gpu_count else "no GPU here"
    return (
        WorkerRule("0", "debugging, and scripts on Windows", 0, 0),
        WorkerRule("2–4", "a single GPU", 2, 4),
        WorkerRule("4–8", "heavy transforms, or slow reading", 4, 8),
        WorkerRule("4 × GPUs", situation, by_gpus, by_gpus),
        WorkerRule("16 and more", "rarely of use", 16, None),
    )


def worker_rules_table(settings: Sequence[SettingResult], recommendation: Recommendation | None, gpu_count: int) -> TextTable:
    """Returns a row for each rule, with the fastest setting that was measured within it; no rows where nothing was measured."""
    measured = [setting for setting in settings if setting.rate is not None and setting.config.backend != "thread"]
    if not measured:
        return TextTable((), ())
    rows = tuple((rule.words, rule.situation, _measured_text(rule, measured, recommendation)) for rule in worker_rules(gpu_count))
    return TextTable((Column("workers", True), Column("said to suit", True), Column("measured here", True)), rows)


def _measured_text(rule: WorkerRule, measured: Sequence[SettingResult], recommendation: Recommendation | None) -> str:
    if rule.least is None:
        return MISSING
    most = math.inf if rule.most is None else rule.most
    within = [one for one in measured if rule.least <= one.config.num_workers <= most]
    fastest = max(within, key=lambda one: one.rate.value if one.rate is not None else 0.0, default=None)
    if fastest is None:
        return MISSING
    mark = ", recommended" if recommendation is not None and fastest.config == recommendation.config else ""
    return f"{throughput_of(fastest)} with {count_text(fastest.config.num_workers, 'worker')}{mark}"
