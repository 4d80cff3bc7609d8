"""The input of all findings, and the choice of the setting that warnings are about."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.analysis.startup.preloading import ForkServer
from loaderscope.analysis.training import Training
from loaderscope.facts.results import Recommendation, SentPart, SettingResult, TrialResult
from loaderscope.facts.settings import find_matching, setting_text


@dataclasses.dataclass(frozen=True)
class Context:
    """A finished or running run.

    Attributes:
        current: the user's own setting, if it is known.
        consumer: of the request; None if the request leaves it open; then the trials show whether there was one.
        free_threaded: whether the interpreter runs without the GIL, if known.
        sent: what each worker is sent, if it was weighed.
        usable_cpus: processors that the loader may use, if known.
        server: where a fork server looks for modules to preload, if known.
        replaced: disturbed trials that repeats replaced; they are not among `trials`.
    """

    trials: list[TrialResult]
    settings: list[SettingResult]
    recommendation: Recommendation | None
    current: TrialConfig | None
    consumer: Consumer | None
    training: Training
    free_threaded: bool | None = None
    sent: list[SentPart] | None = None
    server: ForkServer | None = None
    usable_cpus: int | None = None
    replaced: list[TrialResult] = dataclasses.field(default_factory=list)

    @property
    def good(self) -> list[TrialResult]:
        """The successful trials."""
        return [trial for trial in self.trials if trial.status == "ok"]

    @property
    def has_consumer(self) -> bool:
        """Whether a consumer worked on the batches: without one there is no verdict on whether input or step is the bottleneck."""
        if self.consumer is not None:
            return self.consumer.kind != "none"
        return any(trial.step_share for trial in self.good)

    @property
    def subject(self) -> SettingResult | None:
        """The setting that warnings are about: the user's own, else the only one of the run, else the recommended one."""
        by_config = {setting.config: setting for setting in self.settings}
        own = find_matching(self.current, list(by_config))
        if own is not None:
            return by_config[own]
        if len(self.settings) == 1:
            return self.settings[0]
        return by_config.get(self.recommendation.config) if self.recommendation is not None else None

    def severity_of(self, setting: SettingResult) -> str:
        """Returns `warning` for the subject, `info` for every other setting."""
        subject = self.subject
        return "warning" if subject is not None and setting.config == subject.config else "info"

    def name_of(self, config: TrialConfig) -> str:
        """Returns the setting in words."""
        return setting_text(config)

    def trials_of(self, setting: SettingResult) -> list[TrialResult]:
        """Returns the successful trials of a setting."""
        return [trial for trial in self.good if trial.config == setting.config]
