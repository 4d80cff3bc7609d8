"""The input of all findings, and the choice of the setting that warnings are about."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.analysis.recorded_training import exposed_share
from loaderscope.analysis.startup.preloading import ForkServer
from loaderscope.analysis.training import Training
from loaderscope.facts.measures import NOTABLE_SHARE
from loaderscope.facts.results import LoaderUse, Recommendation, SentPart, SettingResult, TrialResult
from loaderscope.facts.settings import find_matching, setting_text


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
        """Returns the severity of a finding about lost time: `info` if a training waited for hardly any of its time for the loader."""
        share = self.recorded.exposed_share if self.recorded is not None else None
        return "info" if share is not None and share < NOTABLE_SHARE else self.severity_of(setting)

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
