"""The statuses of a trial: one row each, from which words, colours and the exit status are made."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Status:
    """A status of a trial.

    Attributes:
        key: in the JSON, in session files and in the code.
        word: its name in the window, the report and the terminal.
        role: the name of its colour in a palette; empty for the colour of ordinary text.
        was_tried: whether the trial started, or would have started if the run had gone on.
        is_outcome: whether the trial ran until it ended, so that it shows something about its setting and has a timeline.
        is_failure: whether the trial failed, so that the command line exits with a failure.
        is_final: whether a finished trial can have it.
        without_timeline: why the trial has no timeline; follows the name of the trial.
    """

    key: str
    word: str
    role: str = ""
    was_tried: bool = True
    is_outcome: bool = True
    is_failure: bool = False
    is_final: bool = True
    without_timeline: str = ""


OK = Status("ok", "done")
CANCELLED = Status("cancelled", "stopped", "muted", is_outcome=False, without_timeline="was stopped before it began")
RUNNING = Status("running", "running", is_outcome=False, is_final=False)

STATUSES: tuple[Status, ...] = (
    OK,
    Status("failed", "failed", "error", is_failure=True),
    Status("timeout", "hung", "error", is_failure=True),
    Status("killed", "killed", "error", is_failure=True),
    Status("skipped", "skipped", "muted", was_tried=False, is_outcome=False, without_timeline="was skipped"),
    CANCELLED,
    RUNNING,
)
"""In the order in which outputs count them."""

FINAL_KEYS = tuple(status.key for status in STATUSES if status.is_final)
"""Keys that a finished trial can have."""

_BY_KEY = {status.key: status for status in STATUSES}


def status_of(key: str) -> Status:
    """Returns the status with a key.

    Raises:
        KeyError: the key is unknown.
    """
    return _BY_KEY[key]
