"""What the script said in the trials of a run, each text once over all of them."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence

from loaderscope.facts.results import ScriptWarning

_NUMBER = re.compile(r"\d+")


@dataclasses.dataclass(frozen=True)
class Said:
    """A text with where it came from. Texts that differ in their numbers only are told as one.

    Attributes:
        kind: as in ScriptWarning; so is `place`.
        text: the first of them.
        texts: how many different ones there are.
        count: over all processes and trials.
        processes: in the order in which they came to it; empty where that cannot be told of all.
        trials: ids.
    """

    kind: str
    place: str | None
    text: str
    texts: int
    count: int
    processes: tuple[str, ...]
    trials: tuple[int, ...]


def what_was_said(trials: Iterable[tuple[int, Sequence[ScriptWarning]]]) -> list[Said]:
    """Each text once, in the order in which it came up.

    Args:
        trials: ids with the `warnings` of each.
    """
    alike: dict[tuple[str, str | None, str], list[tuple[int, ScriptWarning]]] = {}
    for trial, warnings in trials:
        for warning in warnings:
            alike.setdefault((warning.kind, warning.place, _NUMBER.sub("0", warning.text)), []).append((trial, warning))
    return [_together(rows) for rows in alike.values()]


def _together(rows: list[tuple[int, ScriptWarning]]) -> Said:
    first = rows[0][1]
    processes = tuple(dict.fromkeys(warning.process for _, warning in rows))
    return Said(
        first.kind,
        first.place,
        first.text,
        texts=len({warning.text for _, warning in rows}),
        count=sum(warning.count for _, warning in rows),
        processes=processes if None not in processes else (),  # type: ignore[arg-type]
        trials=tuple(dict.fromkeys(trial for trial, _ in rows)),
    )


def processes_text(processes: Sequence[str]) -> str:
    """Processes in a few words: `main, worker 0`, or `4 workers` where they are many."""
    workers = [name for name in processes if name != "main"]
    named = [name.replace("-", " ") for name in workers] if len(workers) <= 2 else [f"{len(workers)} workers"]
    return ", ".join([*(name for name in processes if name == "main"), *named])


def trials_text(trials: Sequence[int], of: int) -> str:
    """In how many trials; empty where there is only one."""
    return "" if of < 2 else "in 1 trial" if len(trials) == 1 else f"in {len(trials)} trials"


def line_of(said: Said) -> str:
    """The text and its place in one line; of a traceback the exception."""
    lines = [line.strip() for line in said.text.splitlines() if line.strip()]
    is_traceback = any(line.startswith("Traceback (") for line in lines[:2])
    text = f"{lines[-1]} (with a traceback)" if is_traceback else " ".join(lines)
    return text + (f" ({os.path.basename(said.place)})" if said.place else "") + others_text(said)


def others_text(said: Said) -> str:
    """How many texts are not shown because only their numbers differ."""
    others = said.texts - 1
    return "" if not others else f", and {others} more that differ{'s' if others == 1 else ''} in numbers only"
