"""Findings, their remedies, and the places where they show."""

from __future__ import annotations

import dataclasses
from typing import Any

from loaderscope.agent.messages import TrialConfig
from loaderscope.agent.ranges import Count, Name, Seconds
from loaderscope.facts.estimates import Estimate


@dataclasses.dataclass(frozen=True)
class Remedy:
    """The remedy of a finding, which a trial tests.

    Attributes:
        code: of the finding.
        change: what is changed, as the user would write it: `in_order=False`, `MALLOC_ARENA_MAX=2`.
        environment: variables that the trial's script finds besides the run's, as pairs of name and value. Changes of the loader's
            arguments are in the trial's setting.
    """

    code: Name
    change: str
    environment: tuple[tuple[Name, str], ...] = ()


def change_of(remedy: Remedy | None) -> str:
    """Returns what a remedy changes; empty without one."""
    return "" if remedy is None else remedy.change


@dataclasses.dataclass(frozen=True)
class Place:
    """A place on a timeline where a finding shows.

    Attributes:
        trial: whose timeline.
        lane: key of the lane, such as `main` or `worker-0`.
        start_s: on the time axis of that timeline.
        seconds: its length.
    """

    trial: Count
    lane: Name
    start_s: float
    seconds: Seconds


@dataclasses.dataclass(frozen=True)
class Finding:
    """A conclusion about the dataset, the script or a setting.

    Attributes:
        code: its kind.
        severity: error, warning or info.
        trials: on which it rests.
        message: what is wrong, with its figures.
        evidence: the figures and thresholds on which it rests.
        advice: what to do.
        gain_s: seconds of the user's training that the remedy saves; None if not known.
        places: where it shows on the timelines, the most telling first.
        change: the remedy as code, a line or a few; empty if there is none to show.
        remedy: what a trial can test; None if no trial can.
        config: the setting of that trial.
    """

    code: str
    severity: str
    trials: list[int]
    message: str
    evidence: dict[str, Any]
    advice: str
    gain_s: Estimate | None = None
    places: list[Place] = dataclasses.field(default_factory=list)
    change: str = ""
    remedy: Remedy | None = None
    config: TrialConfig | None = None
