"""Merges the script's warnings and messages over the trials of a run, so that each text appears once."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence

from loaderscope.facts.results import ScriptWarning

_NUMBER = re.compile(r"\d+")


@dataclasses.dataclass(frozen=True)
class ScriptMessage:
    """A text of the script and its origin. Texts that differ in their numbers only are merged.

    Attributes:
        kind, place: as in ScriptWarning.
        text: the first of the merged texts.
        texts: number of different merged texts.
        count: how often they came, over all processes and trials.
        processes: that printed them, in order of appearance; empty if any of them is unknown.
        trials: ids of the trials.
    """

    kind: str
    place: str | None
    text: str
    texts: int
    count: int
    processes: tuple[str, ...]
    trials: tuple[int, ...]


def distinct_messages(trials: Iterable[tuple[int, Sequence[ScriptWarning]]]) -> list[ScriptMessage]:
    """Returns each text once, in order of appearance.

    Args:
        trials: ids with the `warnings` of each.
    """
    alike: dict[tuple[str, str | None, str], list[tuple[int, ScriptWarning]]] = {}
    for trial, warnings in trials:
        for warning in warnings:
            alike.setdefault((warning.kind, warning.place, _NUMBER.sub("0", warning.text)), []).append((trial, warning))
    return [_merged(rows) for rows in alike.values()]


def _merged(rows: list[tuple[int, ScriptWarning]]) -> ScriptMessage:
    first = rows[0][1]
    processes = tuple(dict.fromkeys(warning.process for _, warning in rows))
    return ScriptMessage(
        first.kind,
        first.place,
        first.text,
        texts=len({warning.text for _, warning in rows}),
        count=sum(warning.count for _, warning in rows),
        processes=processes if None not in processes else (),  # type: ignore[arg-type]
        trials=tuple(dict.fromkeys(trial for trial, _ in rows)),
    )


def processes_text(processes: Sequence[str]) -> str:
    """Returns processes in a few words: `main, worker 0`, or `4 workers` if they are many."""
    workers = [name for name in processes if name != "main"]
    named = [name.replace("-", " ") for name in workers] if len(workers) <= 2 else [f"{len(workers)} workers"]
    return ", ".join([*(name for name in processes if name == "main"), *named])


def trials_text(trials: Sequence[int], trial_count: int) -> str:
    """Returns in how many trials of a run a text appeared; empty if the run has only one trial."""
    return "" if trial_count < 2 else "in 1 trial" if len(trials) == 1 else f"in {len(trials)} trials"


def message_line(message: ScriptMessage) -> str:
    """Returns the text and its place in one line; of a traceback only the exception."""
    lines = [line.strip() for line in message.text.splitlines() if line.strip()]
    is_traceback = any(line.startswith("Traceback (") for line in lines[:2])
    text = f"{lines[-1]} (with a traceback)" if is_traceback else " ".join(lines)
    return text + (f" ({os.path.basename(message.place)})" if message.place else "") + similar_texts_text(message)


def similar_texts_text(message: ScriptMessage) -> str:
    """Returns how many texts are hidden because only their numbers differ."""
    others = message.texts - 1
    return "" if not others else f", and {others} more that differ{'s' if others == 1 else ''} in numbers only"
