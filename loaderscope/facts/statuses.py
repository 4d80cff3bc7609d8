"""What can become of a trial: one row a status, from which words, colours and the exit status are made."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Status:
    """A status of a trial.

    Attributes:
        key: in the JSON, in session files and in the code.
        word: what the window, the report and the terminal call it.
        role: the name of its colour in a palette; empty for text like any other.
        was_tried: whether the trial was begun, or would have been had the run gone on.
        is_outcome: whether the trial ran until it ended, so that it says something about its setting and has a timeline.
        is_failure: whether something went wrong, which the exit status of the command line tells.
        is_final: whether a finished trial can have it.
        without_timeline: why there is none, after the name of the trial.
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
"""In the order in which they are counted up."""

FINAL_KEYS = tuple(status.key for status in STATUSES if status.is_final)
"""What a finished trial can have."""

_BY_KEY = {status.key: status for status in STATUSES}


def status_of(key: str) -> Status:
    """The status with a key.

    Raises:
        KeyError: there is none.
    """
    return _BY_KEY[key]
