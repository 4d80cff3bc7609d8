"""The request of a run: every option of `loaderscope run` with its value."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.agent.notebook import NOTEBOOK_SUFFIX
from loaderscope.agent.ranges import Count, FilePath, Positive, Seconds
from loaderscope.facts.findings import Remedy
from loaderscope.facts.settings import SETTINGS

MODULE_OPTION = "-m"
"""Precedes the name of a module in place of a script's path, as for `python`."""


DEFAULT_BATCHES = 100


def default_cwd(script: str) -> str:
    """Returns the folder in which a script runs unless the user names another: a notebook's own, as in Jupyter, else the current one."""
    return os.path.dirname(script) if script.endswith(NOTEBOOK_SUFFIX) else os.getcwd()


@dataclasses.dataclass(frozen=True)
class Axes:
    """Values to sweep, axis by axis. None: the default for that axis, decided when the target is known."""

    num_workers: tuple[Count, ...] | None = None  # 0, 1, 2, 4 ... up to the usable cores
    batch_size: tuple[Count, ...] | None = None  # the loader's, else 32
    prefetch_factor: tuple[Count, ...] = (2,)
    pin_memory: tuple[bool, ...] = (False,)
    persistent_workers: tuple[bool, ...] = (False,)
    start_method: tuple[str, ...] | None = None  # the system's default
    in_order: tuple[bool, ...] = (True,)
    backend: tuple[str, ...] = ("process",)
    sharing_strategy: tuple[str | None, ...] | None = None  # the script's own; as a value of the axis, too, None is the script's own
    threads: tuple[Positive | None, ...] | None = None  # as many as the script has; likewise for a value

    @classmethod
    def of(cls, values: Mapping[str, tuple[Any, ...] | None]) -> Axes:
        """Returns axes from values by field of a setting; a field that is missing or None gets the default of its axis."""
        return cls(**{setting.field: values.get(setting.field) or setting.default for setting in SETTINGS})  # type: ignore[arg-type]


REMEDY_REPEATS = 3
"""How often a setting and its remedy are measured: from three repeats on, their rates have intervals of their means."""


@dataclasses.dataclass(frozen=True)
class RemedyToTry:
    """The remedy of a finding, and the setting of the trials that test it."""

    remedy: Remedy
    config: TrialConfig


@dataclasses.dataclass(frozen=True)
class Request:
    """The request of a run. Times in seconds."""

    script: FilePath  # absolute path
    target: str | None = None  # None: the only one found, else an error that lists them
    script_args: tuple[str, ...] = ()
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)  # --arg NAME=VALUE
    environment_variables: dict[str, str] = dataclasses.field(default_factory=dict)  # --env NAME=VALUE; stored as secret_masking.py says
    python: FilePath | None = None  # interpreter; None: the one that runs the app
    cwd: FilePath | None = None  # None: the caller's
    module: str | None = None  # the name by which `python -m` runs the script; None: it is run as a file
    axes: Axes = Axes()
    batches: Count | None = DEFAULT_BATCHES  # per epoch; None: all
    epochs: Positive | None = None  # None: the trial decides, see agent/epoch_count.py
    repeats: Positive = 1
    shuffle: bool | None = None  # None: the loader's own, else off
    seed: int = 0
    train_epochs: Positive = 10
    train_batches: Positive | None = None  # the length of a training that counts batches, in place of `train_epochs`
    consumer: Consumer | None = None  # None: the script's step if there is one, else none
    device: str | None = None
    h2d: str = "blocking"
    strategy: str = "grid"
    max_seconds: Seconds | None = None
    repeat_disturbed: Count = 2  # how often a trial is measured again, at most, because other programs disturbed it
    timeout_s: Seconds = 30.0
    load_timeout_s: Seconds = 60.0
    look_s: Seconds | None = None  # run the script so long past all its loaders; None: up to the first that may train
    current: TrialConfig | None = None
    forkserver_preload: tuple[str, ...] = ()
    probe: bool = True
    force: bool = False
    isolate: bool = False
    gpu_window: Count | None = None  # steps to profile after the measured epochs of each setting's first trial
    samples_of: str | None = None  # expression of `batch` that gives the samples in it; None: counted by the agent
    pcie: bool = False  # read the throughput over PCIe; the app waits 20 ms for each reading
    torchrun_variables: bool = False  # set, as torchrun does for one process, because the script asks for them
    startup: bool = False  # the start-up experiment, see sweep/experiment/startup_plan.py
    ceiling: bool = True  # measure what a perfect loader would reach, where a real step takes the batches
    remedy: RemedyToTry | None = None  # measure one setting, and this remedy in turn with it, and nothing else
    probe_trial: bool = True  # run one more trial that looks closer at what workers do with the dataset

    @property
    def script_text(self) -> str:
        """The script as the user names it: its path, or `-m MODULE`."""
        return self.script if self.module is None else f"{MODULE_OPTION} {self.module}"

    def with_profiled_steps(self, steps: int, config: TrialConfig | None = None) -> Request:
        """Returns the request with `steps` profiled steps after each setting; with `config`, for one trial of that setting alone."""
        request = self if config is None else self._for_setting(config)
        return dataclasses.replace(request, gpu_window=steps)

    def with_remedy(self, remedy: RemedyToTry, config: TrialConfig) -> Request:
        """Returns the request for trials of one setting and, in turn with them, of a finding's remedy."""
        return dataclasses.replace(self._for_setting(config), repeats=REMEDY_REPEATS, gpu_window=None, max_seconds=None, remedy=remedy)

    def _for_setting(self, config: TrialConfig) -> Request:
        """Returns the request for one trial of a setting, and no other."""
        values = {one.field: one.of(config) for one in SETTINGS}
        if self.axes.batch_size is None:
            values["batch_size"] = None  # the loader's own
        axes = Axes.of({field: None if value is None else (value,) for field, value in values.items()})
        preload = config.forkserver_preload or ()
        alone = dataclasses.replace(self, startup=False, ceiling=False, probe_trial=False)
        return dataclasses.replace(alone, axes=axes, repeats=1, forkserver_preload=preload)
