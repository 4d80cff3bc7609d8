"""What a trial is run for: one row for each purpose, with its words."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.settings import setting_text


@dataclasses.dataclass(frozen=True)
class Purpose:
    """A purpose of trials.

    Attributes:
        key: identifies it.
        word: precedes the setting of such a trial; empty for a trial of the setting itself.
        is_of_setting: whether the trial shows what its setting gives; the others must not be mixed with such trials.
        hides_workers: whether the number of workers does not matter in it.
    """

    key: str
    word: str
    is_of_setting: bool = False
    hides_workers: bool = False


SETTING = Purpose("setting", "", is_of_setting=True)
PERFECT_LOADER = Purpose("perfect-loader", "perfect loader", hides_workers=True)
"""Its batches come from memory: its rate is the ceiling of any loader."""
PROBE = Purpose("probe", "probe")
"""It looks closer, and is slower for it."""
REMEDY = Purpose("remedy", "remedy")
"""It tests the remedy of a finding."""


def trial_setting_text(config: TrialConfig, purpose: Purpose, change: str = "") -> str:
    """Returns the setting of a trial, after what it is run for.

    Args:
        config: the setting.
        purpose: of the trial.
        change: what a remedy changes besides.
    """
    hidden = ("num_workers",) if purpose.hides_workers else ()
    return " · ".join(filter(None, (purpose.word, setting_text(config, hidden), change)))
