"""Starts runs as the panels describe them: a sweep, the recording of a training, the start-up experiment, or profiled steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import REMEDY_REPEATS, RemedyToTry, Request
from loaderscope.facts.text import rough_duration_text
from loaderscope.gui.panels.operators_panel import PROFILED_STEPS
from loaderscope.gui.panels.run_kind_choice import TRAINING
from loaderscope.gui.panels.startup_panel import EXPERIMENT
from loaderscope.gui.run.live_run import LiveRun
from loaderscope.gui.window.setup import Setup
from loaderscope.gui.window.views import Views

AskForTraining = Callable[[Request, int, int | None, Sequence[str]], Request | None]
"""Gets the request, its trials, the batches of each, and the modules that the script imports; returns the request to run."""


class StartActions:
    """Starts runs if that is possible, and predicts how long the present run takes.

    Attributes:
        starts_soon: whether a sweep starts as soon as the script and a sample are read.
        expected_s: seconds that the run is expected to take; None while unknown.
        began_s: when the run started, by `time.monotonic`.
    """

    def __init__(
        self,
        setup: Setup,
        live: LiveRun,
        views: Views,
        *,
        may_leave: Callable[[], bool],
        start_run: Callable[[Request], object],
        start_training: Callable[[Request], object],
        show_problem: Callable[[str], object],
        ask_for_training: AskForTraining,
    ) -> None:
        """Starts nothing yet.

        Args:
            setup: describes the runs.
            live: the present run.
            views: show the view that a run is about.
            may_leave: asks whether the shown run may be closed.
            start_run: runs a sweep in its place.
            start_training: runs and records a training in its place.
            show_problem: shows a sentence to the user.
            ask_for_training: asks whether the training may run for each setting.
        """
        self._ask_for_training = ask_for_training
        self._setup, self._live, self._views = setup, live, views
        self._may_leave, self._start_run, self._show_problem = may_leave, start_run, show_problem
        self._start_training = start_training
        self._forecast: Callable[[], float | None] = lambda: None
        self.starts_soon = False
        self.expected_s: float | None = None
        self.began_s = time.monotonic()

    def start(self) -> None:
        """Runs what the user chose: the sweep, or the training."""
        if self._setup.kind is TRAINING:
            self.training()
        else:
            self.sweep()

    def training(self) -> None:
        """Runs the script as it is, and records its loaders."""
        if self._can_start(self._setup.problem) and self._may_leave():
            self._forecast = lambda: None
            self.expected_s, self.began_s = None, time.monotonic()
            self._start_training(self._setup.training_request())

    def sweep(self) -> None:
        """Runs the sweep that the panels describe."""
        if (request := self._agreed_request()) is not None:
            self._run(request, lambda: self._setup.sweep_panel.expected_s)

    def sweep_epochs(self, epochs: int) -> None:
        """Runs the sweep that the panels describe, with a number of epochs a trial."""
        if self._can_start(self._setup.sweep_problem):
            self._setup.sweep_panel.epochs.setValue(epochs)
            self.sweep()

    def experiment(self) -> None:
        """Runs the start-up experiment for the target that the panels describe."""
        self._views.show_startup(EXPERIMENT)
        if self._can_start(self._setup.sweep_problem) and self._may_leave():
            self._views.startup.await_experiment(True)
            self._run(self._setup.startup_request(), lambda: self._setup.sweep_panel.expected_startup_s)

    def exact_window(self, config: TrialConfig | None) -> None:
        """Runs a setting once more, or all settings if none is given, and profiles some steps after it."""
        self._views.docks["operators"].bring_up()
        if (request := self._agreed_request()) is not None:
            self._run(request.with_profiled_steps(PROFILED_STEPS, config), lambda: None)

    def remedy(self, remedy: RemedyToTry, config: TrialConfig) -> None:
        """Measures a setting and, in turn with it, the remedy of a finding."""
        self._views.docks["findings"].bring_up()
        if (request := self._agreed_request(trial_count=2 * REMEDY_REPEATS)) is not None:
            self._run(request.with_remedy(remedy, config), lambda: None)

    def start_requested_sweep(self) -> None:
        """Starts the sweep that was requested with the script, if it can start now."""
        if (
            self.starts_soon and not self._setup.sweep_problem and not self._setup.is_looking
        ):  # reading the script beside the sweep would slow down what it measures
            self.starts_soon = False
            self.start()

    @property
    def running_s(self) -> float:
        """For how many seconds the present run has been going on."""
        return time.monotonic() - self.began_s

    @property
    def expectation(self) -> str:
        """How long the run takes, in words; shown until its first trial is done. Empty if unknown."""
        if self.expected_s is None:
            return ""
        expected = rough_duration_text(self.expected_s)
        overdue = self.running_s > self.expected_s
        return f"longer than the {expected} that were expected" if overdue else f"about {expected} in all"

    def update_expectation(self) -> bool:
        """Predicts the duration again for a run that started before the sample was read; returns whether it did."""
        if not self._live.running or self.expected_s is not None:
            return False
        self.expected_s = self._forecast()
        return True

    def _can_start(self, problem: str) -> bool:
        """Returns whether a run can start now; `problem` says why it cannot, which the user is shown then."""
        if problem:
            self._show_problem(problem)
            return False
        return not self._live.running

    def _agreed_request(self, trial_count: int | None = None) -> Request | None:
        """Returns the sweep that the panels describe; None if it cannot start, or the user does not agree to what it does.

        Args:
            trial_count: trials that the user is asked about; None for those of the panels.
        """
        if not self._can_start(self._setup.sweep_problem):
            return None
        request: Request | None = self._setup.request()
        if request is not None and kind_of(request.consumer).is_training:
            imports = [str(row["name"]) for row in (self._setup.environment or {}).get("script_imports") or ()]
            planned_count, batch_limit = self._setup.sweep_size
            request = self._ask_for_training(request, trial_count or planned_count, batch_limit, imports)
        return request if request is not None and self._may_leave() else None

    def _run(self, request: Request, forecast: Callable[[], float | None]) -> None:
        """`forecast` returns the seconds that the run is expected to take, or None while they are unknown."""
        self._forecast = forecast
        self.expected_s, self.began_s = forecast(), time.monotonic()
        self._start_run(request)
