"""Finds a `set_epoch` of the dataset that persistent workers never hear of, beside what persistent workers save."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.findings import probed
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding
from loaderscope.facts.settings import find_matching, setting_text
from loaderscope.facts.text import duration_text


def find(context: Context) -> list[Finding]:
    """Returns one finding if the dataset learns its epoch from main by a plain attribute."""
    trials = [trial for trial in [*context.good, *context.probes] if trial.epoch_setter is not None]
    setter = trials[0].epoch_setter if trials else None
    if setter is None:
        return []
    advised = context.recommendation.config if context.recommendation is not None else None
    affected = [config for config in (context.current, advised) if config is not None and _persists(config)]
    saved_s = _saved(context, affected[0] if affected else None)
    name = setter.name.rpartition(".")[2]
    saves = "" if saved_s is None else f", which saves {duration_text(saved_s.value)} of the training"
    if not affected:
        when = f"With persistent_workers=True{saves}"
    elif affected[0] == context.current:
        when = f"With your current setting ({setting_text(affected[0])}){saves}"
    else:
        when = f"With the recommended {setting_text(affected[0])}{saves}"
    return [
        Finding(
            code="set-epoch-lost",
            severity="warning" if affected else "info",
            trials=[trial.id for trial in trials],
            message=(
                f"{when} set_epoch{probed.at(setter.place)} is lost: it sets {setter.name} of the dataset in the main process, and workers "
                "that live on keep the copy of their start, so every epoch repeats the first one."
            ),
            evidence={
                "attribute": setter.name,
                "place": setter.place,
                "persistent_workers": bool(affected),
                "persistent_workers_save_s": None if saved_s is None else saved_s.value,
            },
            advice=(
                "Keep the number in memory that workers share, under every start method; or leave persistent_workers off"
                f"{context.at_place}."
            ),
            change=(
                f"self.{name} = torch.zeros((), dtype=torch.int64).share_memory_()  # in __init__\n"
                f"self.{name}.fill_(epoch)  # in set_epoch\n"
                f"int(self.{name})  # where it is read"
            ),
        )
    ]


def _persists(config: TrialConfig) -> bool:
    return bool(config.num_workers and config.persistent_workers)


def _saved(context: Context, config: TrialConfig | None) -> Estimate | None:
    """Returns what persistent workers save of the training, of a setting or else of any; None if it was not measured or is nothing."""
    by_config = {setting.config: setting for setting in context.settings}
    own = find_matching(config, list(by_config))
    persistent = [by_config[own]] if own is not None else [setting for setting in context.settings if _persists(setting.config)]
    for setting in persistent:
        plain = by_config.get(dataclasses.replace(setting.config, persistent_workers=False))
        saved_s = None if plain is None else context.gain_between(plain, setting)
        if saved_s is not None and saved_s.value > 0:
            return saved_s
    return None
