"""Measures beside the trials of a run: nothing, except in a start-up experiment, which needs controls without any loader."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from loaderscope.analysis.startup.preloading import fork_server, script_imports_of
from loaderscope.facts.request import Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import PlannedTrial, Run
from loaderscope.facts.startup_results import Control
from loaderscope.facts.text import enumerated
from loaderscope.sweep import machine_limits
from loaderscope.sweep.experiment.control_runs import measure_controls, measure_preload
from loaderscope.sweep.processes.agent_environment import default_python
from loaderscope.sweep.processes.agent_process import Tick


class BesideTrials:
    """Measures nothing beside the trials."""

    def before_first(self, run: Run) -> list[Control]:
        """Measures once, before the first trial.

        Args:
            run: is about to start; its plan is known.
        """
        return []

    def before_each(self, trial: PlannedTrial) -> None:
        """Measures right before this trial, whose agent is ready."""

    def with_measurements(self, result: TrialResult) -> TrialResult:
        """Returns the row of a trial with the measurements from right before it."""
        return result


class StartupControls(BesideTrials):
    """Measures the controls of a start-up experiment: bare interpreters, imports, and fork servers that preload."""

    def __init__(self, request: Request, python: str, tick: Tick, log: Callable[[str], None]) -> None:
        """Measures nothing yet.

        Args:
            request: the experiment.
            python: the user's interpreter.
            tick: called about every 0.1 s; an exception that it raises ends a control's process and passes through.
            log: gets a sentence about the measurements.
        """
        self._request = request
        self._python = python
        self._tick = tick
        self._log = log
        self._server_folder: str | None = None  # in which fork servers of the trials look for modules
        self._preload_import_s: dict[int, float | None] = {}  # by the id of the trial

    def before_first(self, run: Run) -> list[Control]:
        """Measures all controls. It does so before the trials, because a prediction must not use the trials that test it."""
        preload = machine_limits.preloaded(run.plan)
        what = f", and a fork server that preloads {enumerated(list(preload))}" if preload else ""
        self._log(f"Controls: a bare interpreter and the imports of numpy and torch, each a few times{what}.")
        controls = measure_controls(self._python, self._request.load_timeout_s, self._tick)
        self._server_folder = fork_server(run.request, script_imports_of(run.environment), run.environment.get("python")).search_folder
        return [*controls, self._measure_preload(preload, self._server_folder)] if preload else controls

    def before_each(self, trial: PlannedTrial) -> None:
        """Measures the preload of a trial's fork server, close to that server's start, because the speed of a machine drifts.

        It does not measure earlier, while the trial before is still being written.
        """
        if trial.config.forkserver_preload and self._server_folder is not None:
            self._preload_import_s[trial.id] = self._measure_preload(trial.config.forkserver_preload, self._server_folder).import_s

    def with_measurements(self, result: TrialResult) -> TrialResult:
        if result.startup is None:
            return result
        return dataclasses.replace(
            result, startup=dataclasses.replace(result.startup, preload_import_s=self._preload_import_s.get(result.id))
        )

    def _measure_preload(self, modules: tuple[str, ...], folder: str) -> Control:
        request = self._request
        return measure_preload(
            self._python,
            modules,
            folder,
            cwd=request.cwd,
            variables=request.environment_variables,
            timeout_s=request.load_timeout_s,
            tick=self._tick,
        )


def beside_trials(request: Request, tick: Tick, log: Callable[[str], None]) -> BesideTrials:
    """Returns the object that measures beside the trials of this request: `StartupControls` for a start-up experiment."""
    python = (request.python or default_python()) if request.startup else None
    return BesideTrials() if python is None else StartupControls(request, python, tick, log)
