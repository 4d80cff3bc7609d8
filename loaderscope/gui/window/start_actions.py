"""Starting what the panels describe: the sweep, the start-up experiment, or one setting with profiled steps."""

from __future__ import annotations

import time
from collections.abc import Callable

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.request import Request
from loaderscope.facts.text import rough_duration_text
from loaderscope.gui.panels.operators_panel import PROFILED_STEPS
from loaderscope.gui.panels.startup_panel import EXPERIMENT
from loaderscope.gui.run.live_run import LiveRun
from loaderscope.gui.window.setup import Setup
from loaderscope.gui.window.views import Views


class StartActions:
    """Starts runs where that is possible, and knows how long the one that runs is expected to take.

    Attributes:
        soon: a sweep is to start as soon as the script was looked at.
        expected_s: seconds that the run is expected to take; None until that is known.
        began_s: when it was started, by the clock of `time.monotonic`.
    """

    def __init__(
        self,
        setup: Setup,
        live: LiveRun,
        views: Views,
        *,
        may_leave: Callable[[], bool],
        begin: Callable[[Request], object],
        tell_problem: Callable[[str], object],
    ) -> None:
        """`may_leave` asks whether what is shown may be given up; `begin` runs a request in its place."""
        self._setup, self._live, self._views = setup, live, views
        self._may_leave, self._begin, self._tell_problem = may_leave, begin, tell_problem
        self._forecast: Callable[[], float | None] = lambda: None
        self.soon = False
        self.expected_s: float | None = None
        self.began_s = time.monotonic()

    def sweep(self) -> None:
        """Runs the sweep that the panels describe."""
        if self._may_start():
            self._run(self._setup.request(), lambda: self._setup.sweep_panel.expected_s)

    def experiment(self) -> None:
        """Runs the start-up experiment on what the panels describe."""
        self._views.show_startup(EXPERIMENT)
        if self._may_start():
            self._views.startup.await_experiment(True)
            self._run(self._setup.startup_request(), lambda: self._setup.sweep_panel.expected_startup_s)

    def exact_window(self, config: TrialConfig | None) -> None:
        """Runs a setting once more, or all where none is given, with some profiled steps after it."""
        self._views.docks["operators"].bring_up()
        if self._may_start():
            self._run(self._setup.request().with_profiled_steps(PROFILED_STEPS, config), lambda: None)

    def sweep_if_wanted(self) -> None:
        """Starts the sweep that is to start soon, if it can start now."""
        if self.soon and not self._setup.problem and not self._setup.is_looking:  # a look would take from what is measured
            self.soon = False
            self.sweep()

    @property
    def expectation(self) -> str:
        """How long the run takes, as told until its first trial is done."""
        if self.expected_s is None:
            return ""
        expected = rough_duration_text(self.expected_s)
        overdue = time.monotonic() - self.began_s > self.expected_s
        return f"longer than the {expected} that were expected" if overdue else f"about {expected} in all"

    def forecast_anew(self) -> bool:
        """Looks again at how long a run takes that was started before the sample was read; returns whether it did."""
        if not self._live.running or self.expected_s is not None:
            return False
        self.expected_s = self._forecast()
        return True

    def _may_start(self) -> bool:
        if self._setup.problem:
            self._tell_problem(self._setup.problem)
            return False
        return not self._live.running and self._may_leave()

    def _run(self, request: Request, forecast: Callable[[], float | None]) -> None:
        """`forecast` gives the seconds that the run is expected to take, as soon as they are known."""
        self._forecast = forecast
        self.expected_s, self.began_s = forecast(), time.monotonic()
        self._begin(request)
