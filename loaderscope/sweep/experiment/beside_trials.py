"""What a run measures beside its trials: nothing, but for a start-up experiment, which measures the same without any loader."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from loaderscope.analysis.startup.preloading import fork_server, script_imports_of
from loaderscope.facts.request import Request
from loaderscope.facts.results import Control, TrialResult
from loaderscope.facts.run import PlannedTrial, Run
from loaderscope.facts.text import enumerated
from loaderscope.sweep import machine_limits
from loaderscope.sweep.experiment.control_runs import measure_controls, measure_preload
from loaderscope.sweep.processes.agent_environment import default_python
from loaderscope.sweep.processes.agent_process import Tick


class BesideTrials:
    """Nothing is measured beside the trials."""

    def before_first(self, run: Run) -> list[Control]:
        """What is measured once, before the first trial.

        Args:
            run: with its plan, about to start.
        """
        return []

    def before_each(self, trial: PlannedTrial) -> None:
        """Measures what belongs right before this trial; its agent is ready."""

    def completed(self, result: TrialResult) -> TrialResult:
        """The row of a trial with what was measured right before it."""
        return result


class StartupControls(BesideTrials):
    """Controls of a start-up experiment: bare interpreters and imports, and fork servers that preload."""

    def __init__(self, request: Request, python: str, tick: Tick, log: Callable[[str], None]) -> None:
        """Measures nothing yet.

        Args:
            request: the experiment.
            python: the user's interpreter.
            tick: called about every 0.1 s; what it raises ends a control's process and passes through.
            log: gets a sentence about what is measured.
        """
        self._request = request
        self._python = python
        self._tick = tick
        self._log = log
        self._server_folder: str | None = None  # where fork servers of the trials look for modules
        self._preload_import_s: dict[int, float | None] = {}  # by trial

    def before_first(self, run: Run) -> list[Control]:
        """Before the trials: a prediction must not rest on what it is compared with."""
        preload = machine_limits.preloaded(run.plan)
        what = f", and a fork server that preloads {enumerated(list(preload))}" if preload else ""
        self._log(f"Controls: a bare interpreter and the imports of numpy and torch, each a few times{what}.")
        found = measure_controls(self._python, self._request.load_timeout_s, self._tick)
        self._server_folder = fork_server(run.request, script_imports_of(run.environment), run.environment.get("python")).search_folder
        return [*found, self._measure_preload(preload, self._server_folder)] if preload else found

    def before_each(self, trial: PlannedTrial) -> None:
        """Beside the server's start, as a machine's pace drifts, and not while the trial before is still being written."""
        if trial.config.forkserver_preload and self._server_folder is not None:
            self._preload_import_s[trial.id] = self._measure_preload(trial.config.forkserver_preload, self._server_folder).import_s

    def completed(self, result: TrialResult) -> TrialResult:
        if result.startup is None:
            return result
        return dataclasses.replace(
            result, startup=dataclasses.replace(result.startup, preload_import_s=self._preload_import_s.get(result.id))
        )

    def _measure_preload(self, modules: tuple[str, ...], folder: str) -> Control:
        request = self._request
        return measure_preload(self._python, modules, folder, cwd=request.cwd, timeout_s=request.load_timeout_s, tick=self._tick)


def beside_trials(request: Request, tick: Tick, log: Callable[[str], None]) -> BesideTrials:
    """What this request's kind of run measures beside its trials; see `StartupControls`."""
    python = (request.python or default_python()) if request.startup else None
    return BesideTrials() if python is None else StartupControls(request, python, tick, log)
