"""The input of all findings, and the choice of the setting that warnings are about."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.analysis.recorded_training import exposed_share
from loaderscope.analysis.startup.preloading import ForkServer
from loaderscope.analysis.training import Training
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.measures import NOTABLE_SHARE
from loaderscope.facts.recorded_use import LoaderUse
from loaderscope.facts.results import Recommendation, SettingResult, TrialResult
from loaderscope.facts.settings import find_matching, setting_text
from loaderscope.facts.startup_results import SentPart


@dataclasses.dataclass(frozen=True)
class RecordedLoader:
    """The loader that the findings are about, in a recorded training: it has one setting, and nothing to compare it with.

    Attributes:
        use: what the training spent on it.
        sweep_command: tries other settings of it, on the command line; None if that would try another loader.
    """

    use: LoaderUse
    sweep_command: str | None = None

    @property
    def exposed_share(self) -> float | None:
        """The share of the training that waited for it; None if unknown."""
        return exposed_share(self.use)


@dataclasses.dataclass(frozen=True)
class Context:
    """A finished or running run, or one loader of a recorded training.

    Attributes:
        current: the user's own setting, if it is known.
        consumer: of the request; None if the request leaves it open; then the trials show whether there was one.
        free_threaded: whether the interpreter runs without the GIL, if known.
        sent: what each worker is sent, if it was weighed.
        usable_cpus: processors that the loader may use, if known.
        server: where a fork server looks for modules to preload, if known.
        replaced: disturbed trials that repeats replaced; they are not among `trials`.
        recorded: the loader of a recorded training; None for a sweep.
        probes: successful trials that looked closer; they are not among `trials`.
        remedies: one row for each setting and remedy that was tried.
        environment: the machine and its interpreter.
        loader_class: name of the class of the user's loader, if known.
        remade_at: where the script iterates the loader anew for each batch, as its source shows: "file:line".
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
    recorded: RecordedLoader | None = None
    probes: list[TrialResult] = dataclasses.field(default_factory=list)
    remedies: list[SettingResult] = dataclasses.field(default_factory=list)
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    loader_class: str | None = None
    remade_at: str | None = None

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

    def severity_of_wait(self, setting: SettingResult) -> str:
        """Returns the severity of a finding about lost time.

        It is `info` if a training waited for hardly any of its time for the loader, and where other programs took the time.
        """
        share = self.recorded.exposed_share if self.recorded is not None else None
        trials = self.trials_of(setting)
        is_doubtful = bool(trials) and all(trial.is_disturbed for trial in trials)
        return "info" if is_doubtful or (share is not None and share < NOTABLE_SHARE) else self.severity_of(setting)

    def gain_of_share(self, setting: SettingResult, share: float, low: float | None = None, high: float | None = None) -> Estimate | None:
        """Returns the seconds of the user's training that a share of a setting's time makes; None if its length is unknown.

        Args:
            setting: whose time it is.
            share: of its time, which a remedy would save.
            low: the least that it would save, if known.
            high: the most, if known.
        """
        train_s = setting.train_s if self.recorded is None else self.recorded.use.measured_s
        if train_s is None:
            return None
        return Estimate(share * train_s, None if low is None or high is None else (low * train_s, high * train_s))

    def gain_between(self, setting: SettingResult, better: SettingResult) -> Estimate | None:
        """Returns the seconds of the user's training that another setting, or a tried remedy, saves; None if either is unknown.

        The interval is that of the two times per epoch, as far as these have one.
        """
        if setting.train_s is None or better.train_s is None:
            return None
        widths = [one.epoch_s.relative_half_width if one.epoch_s is not None else None for one in (setting, better)]
        gain_s = setting.train_s - better.train_s
        if widths[0] is None or widths[1] is None:
            return Estimate(gain_s)
        half_s = math.hypot(widths[0] * setting.train_s, widths[1] * better.train_s)
        return Estimate(gain_s, (gain_s - half_s, gain_s + half_s))

    def severity_of_gain(self, setting: SettingResult, gain_s: Estimate | None) -> str:
        """Returns `warning` for the subject if the remedy surely saves a notable share of the training; else `info`."""
        train_s = setting.train_s if self.recorded is None else self.recorded.use.measured_s
        if gain_s is None or not train_s:
            return "info"
        least_s = gain_s.ci95[0] if gain_s.ci95 is not None else gain_s.value
        return self.severity_of_wait(setting) if least_s >= NOTABLE_SHARE * train_s else "info"

    def remedied(self, code: str, setting: SettingResult | None = None) -> list[SettingResult]:
        """Returns the rows of the tried remedies of a finding, of one setting if it is given."""
        found = [row for row in self.remedies if row.remedy is not None and row.remedy.code == code]
        return found if setting is None else [row for row in found if row.config == setting.config]

    def name_of(self, config: TrialConfig) -> str:
        """Returns the setting in words."""
        return setting_text(config) if self.recorded is None else f"your current setting ({setting_text(config)})"

    @property
    def at_place(self) -> str:
        """Words that follow an argument of the DataLoader: where a recorded training makes it; empty for a sweep."""
        return "" if self.recorded is None else f" at {self.recorded.use.name}"

    @property
    def sweep_advice(self) -> str:
        """Words that follow advice on settings of a recorded training: the command that tries them; empty for a sweep."""
        command = self.recorded.sweep_command if self.recorded is not None else None
        return "" if command is None else f" Try settings: {command} (with --step training: in the training itself)"

    def trials_of(self, setting: SettingResult) -> list[TrialResult]:
        """Returns the successful trials of a setting."""
        return [trial for trial in self.good if trial.config == setting.config]
