"""The set-up side of the window: turns script, target, interpreter and axes into a request and a forecast."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QSettings, Qt, QTimer, Signal
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from loaderscope.agent.messages import Consumer, ErrorInfo, Target, TrialConfig
from loaderscope.facts.consumers import TRAINING as TRAINING_CONSUMER
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import MODULE_OPTION, Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run
from loaderscope.facts.trackers import is_offline_switch
from loaderscope.gui.panels.run_kind_choice import RUN_KINDS, SWEEP, TRAINING, TRAINING_SWEEP, RunKind, RunKindChoice
from loaderscope.gui.panels.sweep_panel import Forecast, SweepPanel
from loaderscope.gui.panels.target_panel import TargetPanel, advice_for
from loaderscope.gui.run.background_work import Fault, Jobs
from loaderscope.gui.style.words import training_batches_text
from loaderscope.gui.window.script_state import NO_SCRIPT, ScriptState
from loaderscope.session.secret_masking import holds_mask
from loaderscope.sweep.forecast import SweepForecast, forecast_sweep
from loaderscope.sweep.inspect_script import Inspection, TargetProbe, inspect_script, probe_target
from loaderscope.sweep.interpreters import Interpreter, list_interpreters
from loaderscope.sweep.machine import read_machine
from loaderscope.sweep.machine_limits import Measured
from loaderscope.sweep.module_file import NoModuleError, module_file
from loaderscope.sweep.processes.agent_output import OutputLine
from loaderscope.sweep.ready_agent import SweepError
from loaderscope.sweep.target_choice import choose_target, needs_look
from loaderscope.sweep.trial_size import batch_limit

FORECAST_DELAY_MS = 120
KIND_KEY = "run_kind"
"""Key of the chosen kind of run in the settings of the window."""
RUNS_FOR_REAL = "The training runs for real, and writes what it writes. It gets no input here."


class _CancelledError(Exception):
    """Another look at a script began, or the window closed."""


@dataclasses.dataclass(frozen=True)
class _LookFailure:
    """Why a look at a script failed, and what it printed before."""

    error: ErrorInfo
    log: list[OutputLine]


class Setup(QObject):
    """Owns the target and sweep panels and the state of the script.

    Signals:
        changed: `problem` or the forecast may differ now.
        opened: the path of a script that is about to be read.
        outputRead: list of OutputLine that the script printed while it was looked at.
    """

    changed = Signal()
    opened = Signal(str)
    outputRead = Signal(list)

    def __init__(self, settings: QSettings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.kind_choice = RunKindChoice()
        self.target_panel = TargetPanel()
        self.sweep_panel = SweepPanel()
        self._jobs = Jobs(self)
        self._jobs.answered.connect(self._answered)
        self._cancel = threading.Event()
        self._state = ScriptState()
        self._measured: tuple[Run, Sequence[TrialResult]] | None = None  # the last sweep that ran here
        self._interpreters_listed = False
        self._timer = QTimer(self, singleShot=True, interval=FORECAST_DELAY_MS)
        self._timer.timeout.connect(self._update_forecast)
        panel = self.target_panel
        panel.scriptChosen.connect(self.open_script)
        panel.targetChosen.connect(lambda _target: self._look_at_target())
        panel.interpreterChosen.connect(self._set_python)
        panel.argumentsChanged.connect(self._look_at_target)
        self.sweep_panel.changed.connect(self._timer.start)
        self.kind_choice.chosen.connect(self._kind_chosen)
        stored = settings.value(KIND_KEY)
        self.show_kind(next((kind for kind in RUN_KINDS if kind.key == stored), SWEEP))

    def widget(self) -> QWidget:
        """Returns both panels in a scrolling column, with the forecast and the start buttons below."""
        column = QWidget()
        layout = QVBoxLayout(column)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.kind_choice)
        layout.addWidget(self.target_panel)
        layout.addWidget(self.sweep_panel)
        layout.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(column)
        whole = QWidget()
        layout = QVBoxLayout(whole)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(area, 1)
        layout.addWidget(self.sweep_panel.footer)
        whole.setMinimumWidth(268)
        whole.setFocusProxy(self.target_panel.script)
        return whole

    @property
    def script(self) -> str:
        return self._state.script

    @property
    def environment(self) -> dict[str, Any] | None:
        """The environment of the interpreter that read the script or the sample last."""
        return self._state.environment

    @property
    def is_looking(self) -> bool:
        """Whether the script or a sample of a target is being read."""
        return self._state.is_looking

    @property
    def kind(self) -> RunKind:
        """The chosen kind of run."""
        return self.kind_choice.kind

    def show_kind(self, kind: RunKind) -> None:
        """Chooses a kind of run, which is not remembered as the user's choice."""
        self.kind_choice.show_kind(kind)
        self.target_panel.show_script_alone(kind is TRAINING)
        self.sweep_panel.show_kind(kind)
        self._update_forecast()

    def prepare_training_sweep(self) -> None:
        """Chooses to try settings in the training, and reads the script where that was not done; nothing is started."""
        self.kind_choice.show_kind(TRAINING_SWEEP)
        self._kind_chosen()
        if self._state.is_of_session:
            self.reload()

    def _kind_chosen(self) -> None:
        self._settings.setValue(KIND_KEY, self.kind.key)
        self.show_kind(self.kind)
        is_known = self._state.is_known and not self.target_panel.problem.text()
        if not is_known and not self._state.is_of_session:
            self.reload()  # for a sweep it reads the script; for a training it ends a look that goes on, which would disturb the recording
        elif is_known and self.kind is not TRAINING:
            self._offer_targets()

    def open_script(self, text: str) -> None:
        """Reads a script, given by its path or as `-m MODULE`, and lists its targets."""
        last = self._state.request
        python = last.python if last is not None else None
        option, _, name = text.partition(" ")
        module = name.strip() if option == MODULE_OPTION else None
        try:
            if module is None:
                script = os.path.abspath(os.path.expanduser(text))
            else:
                script = module_file(module, self.target_panel.folder_of_script(""), python)
        except NoModuleError as error:
            self._show_error(ErrorInfo("NoModuleError", f"Nothing to open: {error}."))
            return
        request = last if last is not None and (last.script, last.module) == (script, module) else Request(script=script, module=module)
        self.open_request(dataclasses.replace(request, python=python))

    def open_request(self, request: Request) -> None:
        """Adopts a whole request, as of the command line or the example, and reads its script."""
        if request.script != self.script:
            self.target_panel.show_surroundings(request)
        if request.axes.num_workers is not None:  # it asks for settings to try
            self.show_kind(_kind_of(request))
        self._state = self._state.with_request(request)
        self.opened.emit(request.script)
        self.reload()
        if request.axes.num_workers is not None and not request.startup:  # an experiment has axes of its own
            self.sweep_panel.show_request(request)

    def show_run(self, run: Run) -> None:
        """Shows script, target and axes of a saved session, without running the script.

        A file that somebody sent must not start anything. The user can read the script again with the interpreter chosen here.
        """
        self._cancel_looks()
        self.show_kind(TRAINING if run.is_training else _kind_of(run.request))
        exists = os.path.isfile(run.script)  # also False for a name that is not valid on this system
        unmasked = {name: value for name, value in run.request.arguments.items() if not holds_mask(value)}
        request = dataclasses.replace(run.request, script=run.script, python=None, cwd=None, arguments=unmasked) if exists else None
        self._state = self._state.session_shown(request, run.target.name)
        self.target_panel.show_reading(dataclasses.replace(run.request, script=run.script).script_text)
        self.target_panel.show_surroundings(dataclasses.replace(run.request, cwd=None))
        self.target_panel.show_targets([run.target])
        name = Path(run.script).name
        note = f"{name} was not read again." if exists else f"{name} is not on this machine, so it cannot be measured again here."
        fault = self.target_panel.faulty_field()
        self.target_panel.show_sample(run.sample, f"{note} {fault[1]}" if exists and fault is not None else note)
        if not run.request.startup:
            self.sweep_panel.show_request(run.request)
        self.sweep_panel.set_current(run.target.current)
        self._update_forecast()

    def remember_sweep(self, run: Run, results: Sequence[TrialResult]) -> None:
        """Bases the forecast of later sweeps of the same target on a sweep that ran here."""
        self._measured = run, results
        self._update_forecast()

    def reload(self) -> None:
        """Reads the script again, unless one of its arguments or variables is masked as in a saved session, or is no variable."""
        if self._state.request is None:
            return
        panel = self.target_panel
        if (fault := panel.faulty_field()) is not None:
            field, sentence = fault
            panel.show_problem(sentence)
            field.setFocus()
            self._update_forecast()
            return
        self._cancel_looks()
        request = dataclasses.replace(self._with_surroundings(self._state.request), torchrun_variables=False)
        if self.kind is TRAINING:
            self._state = self._state.unread(request)
            self.target_panel.show_unread(request.script_text)
        else:
            self._state = self._state.reading(request)
            self.target_panel.show_reading(request.script_text)
        if not Path(request.script).is_file():
            self._state = self._state.failed()
            self._show_error(ErrorInfo("FileNotFoundError", f"There is no file {request.script}."))
            return
        if self.kind is not TRAINING:
            tick = self._new_tick()
            self._jobs.start("inspect", lambda: _run_look(lambda log: inspect_script(request, tick, log)))
        if not self._interpreters_listed:
            self._interpreters_listed = True
            self._jobs.start("interpreters", lambda: list_interpreters(request.script))
        self._update_forecast()

    def _with_surroundings(self, request: Request) -> Request:
        """Returns a request with the script's arguments, variables and working folder of the panel."""
        panel = self.target_panel
        return dataclasses.replace(
            request,
            script_args=panel.arguments_of_script(),
            environment_variables=panel.environment_variables(),
            cwd=panel.folder_of_script(request.script),
        )

    def training_request(self) -> Request:
        """Returns the request for the training that Record would run.

        Raises:
            ValueError: there is a `problem`.
        """
        if self._state.request is None or self.problem:
            raise ValueError(self.problem)
        return dataclasses.replace(self._with_surroundings(self._state.request), target=None, startup=False, remedy=None)

    def request(self) -> Request:
        """Returns the request for the sweep that Start would run.

        Raises:
            ValueError: there is a `sweep_problem`.
        """
        request = self.sweep_panel.apply_to(self._chosen_request())
        if self.kind is TRAINING_SWEEP:
            return dataclasses.replace(request, consumer=Consumer(TRAINING_CONSUMER.key), target=self._captured_target())
        return request

    def _captured_target(self) -> str | None:
        """Returns the chosen target if it is a loader that the script iterates; None leaves it to a run to find the one that trains."""
        target = self.target_panel.current_target
        return target.name if target is not None and target.kind == "captured" and not needs_look(target) else None

    @property
    def sweep_size(self) -> tuple[int, int | None]:
        """The trials of the sweep that Start would run, and the batches of an epoch that one takes at most; None for all."""
        request = self.request()
        return self.sweep_panel.expected_trials, batch_limit(request, TrialConfig(max(request.axes.num_workers or (0,))))

    def startup_request(self) -> Request:
        """Returns the request that "Why is start-up slow?" would run.

        Raises:
            ValueError: there is a `sweep_problem`.
        """
        return self.sweep_panel.startup_request(self._chosen_request())

    def _chosen_request(self) -> Request:
        """Returns the chosen script, target and arguments, with the options that have no field in the panels."""
        if self._state.request is None or self.sweep_problem:
            raise ValueError(self.sweep_problem)
        target = self.target_panel.current_target
        return dataclasses.replace(
            self._state.request,
            target=target.name if target is not None else None,
            arguments=self.target_panel.arguments(),
            startup=False,
            remedy=None,
        )

    @property
    def problem(self) -> str:
        """Why the chosen kind of run cannot start now, in one sentence; empty if it can."""
        if self.kind is not TRAINING:
            return self.sweep_problem
        if self._state.request is None:
            return NO_SCRIPT
        fault = self.target_panel.faulty_field()
        return fault[1] if fault is not None else ""

    @property
    def sweep_problem(self) -> str:
        """Why a sweep cannot start now, in one sentence; empty if it can."""
        if self._state.request is not None and (fault := self.target_panel.faulty_field()) is not None:
            return fault[1]
        if self._state.problem:
            return self._state.problem
        if self.target_panel.current_target is None:
            is_training = self.kind is TRAINING_SWEEP and self._state.inspection is not None
            return f"{Path(self.script).name} iterates no DataLoader." if is_training else "There is no target to profile yet."
        missing = self.target_panel.missing_arguments()
        if missing:
            return f"Give the argument{'s' if len(missing) > 1 else ''} {', '.join(missing)} of {self.target_panel.current_target.name}."
        return ""

    def close(self) -> None:
        """Ends every look at a script and the processes that it started."""
        self._cancel.set()
        self._timer.stop()
        self._jobs.wait_all(15_000)

    def _cancel_looks(self) -> None:
        self._cancel.set()
        for name in ("inspect", "probe"):
            self._jobs.drop(name)

    def _new_tick(self) -> Callable[[], None]:
        """Returns a callback for a look at a script; it raises as soon as another look begins."""
        self._cancel = cancel = threading.Event()

        def tick() -> None:
            if cancel.is_set():
                raise _CancelledError

        return tick

    def _set_python(self, python: str | None) -> None:
        if self._state.request is not None:
            self._state = dataclasses.replace(self._state, request=dataclasses.replace(self._state.request, python=python))
            self.reload()

    def _look_at_target(self) -> None:
        """Reads one sample of the chosen target."""
        if self._state.has_targets:
            self._cancel_looks()
            self._state = self._state.probed(None)
        target, request = self.target_panel.current_target, self._state.request
        if target is None or request is None or self.sweep_problem:
            # the fields above the note already ask for the arguments of a class
            self.target_panel.show_sample(None, target.note if target is not None and not target.needs else "")
            self._update_forecast()
            return
        if self._state.look is not None and target.captured is not None:
            self._show_met_loader(target, self._state.look)
            self._update_forecast()
            return
        self._state = self._state.probing()
        self.target_panel.show_problem("")
        self.target_panel.show_sample(None, "Reading one sample …")
        looks = needs_look(target)
        request = dataclasses.replace(request, target=None if looks else target.name, arguments=self.target_panel.arguments())
        tick = self._new_tick()
        self._jobs.start("probe", lambda: _run_look(lambda log: probe_target(request, tick, log, looks=looks)))
        self._update_forecast()

    def _answered(self, name: str, answer: object) -> None:
        if name != "interpreters" and isinstance(answer, Fault | _LookFailure):
            self._state = self._state.failed()
        if isinstance(answer, Fault):
            self._show_error(ErrorInfo("Fault", f"Loaderscope failed to look at this: {answer.message}", answer.traceback))
        elif isinstance(answer, _LookFailure):
            self.outputRead.emit(answer.log)
            self._show_error(answer.error)
        elif isinstance(answer, Inspection):
            self._show_inspection(answer)
        elif isinstance(answer, TargetProbe):
            self.outputRead.emit(answer.log)
            chosen = self.target_panel.current_target
            if chosen is not None and needs_look(chosen) and answer.target.captured is not None:
                self._show_look(answer)
            else:
                self._show_probe(answer)
        elif name == "interpreters" and isinstance(answer, list):
            self._show_interpreters(answer)
        self._update_forecast()

    def _show_error(self, error: ErrorInfo) -> None:
        self.target_panel.show_sample(None)
        self.target_panel.show_problem(error.message, advice_for(error))
        self.outputRead.emit([OutputLine(time.perf_counter_ns(), "stderr", line) for line in (error.traceback or "").splitlines()])
        self._update_forecast()

    def _show_inspection(self, inspection: Inspection) -> None:
        self._state = self._state.read(inspection)
        environment = inspection.environment
        has_accelerator = environment.get("accelerator") is not False
        self.sweep_panel.set_consumers(inspection.has_step, has_accelerator)
        self.sweep_panel.set_environment(environment.get("start_methods") or (), environment.get("default_start_method"), has_accelerator)
        self.target_panel.show_targets(self._possible_targets(), self._first_target())
        self.outputRead.emit(inspection.log)
        if not inspection.targets:
            self.target_panel.show_problem(
                f"{Path(self.script).name} offers nothing to profile.",
                "Loaderscope looks for a Dataset or DataLoader, a function that returns one, or a loader that the script iterates.",
            )
        self._look_at_target()

    def _show_look(self, look: TargetProbe) -> None:
        """Lists the loaders that a run of the script showed, and chooses the wanted one, else the one whose sample it read."""
        self._state = self._state.looked(look)
        met = self._state.met_loaders
        chosen = next((target for target in met if target.name == self._state.wanted_target), look.target)
        self.target_panel.show_targets(self._possible_targets(), chosen.name)
        self._show_met_loader(chosen, look)

    def _possible_targets(self) -> list[Target]:
        """Returns the targets of the chosen kind of run: a training takes the loaders that it iterates, whatever else the script has."""
        return [target for target in self._state.targets if self.kind is not TRAINING_SWEEP or target.kind == "captured"]

    def _first_target(self) -> str | None:
        """Returns the name of the target to choose first: the wanted one, else the one that a run takes by itself; None without any."""
        possible = self._possible_targets()
        if self._state.wanted_target in [target.name for target in possible]:
            return self._state.wanted_target
        try:
            return choose_target(possible, None, {}, self.script).name
        except SweepError:
            return None

    def _offer_targets(self) -> None:
        """Lists the targets of another kind of run; the chosen one stays if it is among them, else the first one is read."""
        chosen, possible = self.target_panel.current_target, self._possible_targets()
        if possible == self.target_panel.targets:
            return
        is_kept = chosen in possible
        self.target_panel.show_targets(possible, chosen.name if chosen is not None and is_kept else self._first_target())
        if not is_kept:
            self._look_at_target()

    def _show_met_loader(self, target: Target, look: TargetProbe) -> None:
        """Shows a loader that the script iterated during the look, without running it again: only one of them has a sample."""
        self.target_panel.show_problem("")
        if target.name == look.target.name:
            self._show_probe(look)
        else:
            self._state = self._state.probed(None)
            self.target_panel.show_sample(None, target.note)
            self.sweep_panel.set_current(target.current, target.current is not None and target.current.batch_size is None)

    def _show_probe(self, probe: TargetProbe) -> None:
        self._state = self._state.probed(probe)
        self.target_panel.show_sample(probe.sample, " ".join(probe.notes))
        own_batches = probe.target.kind != "dataset" and probe.current is not None and probe.current.batch_size is None
        self.sweep_panel.set_current(probe.current, own_batches)

    def _show_interpreters(self, interpreters: Sequence[Interpreter]) -> None:
        own = next((one for one in interpreters if one.path == sys.executable), None)
        listed = [(one.path, f"{_with_tilde(one.prefix or one.path)}   {one.describe()}") for one in interpreters if one is not own]
        chosen = self._state.request.python if self._state.request is not None else None
        self.target_panel.set_interpreters(listed, chosen, own.describe() if own is not None else "")

    def _update_forecast(self) -> None:
        problem = self.problem
        target: Target | None = self.target_panel.current_target
        environment, probe = self.environment, self._state.probe
        if problem or target is None or environment is None or self.kind is TRAINING:
            note = problem or (RUNS_FOR_REAL if self.kind is TRAINING else "")
            self.sweep_panel.set_forecast(Forecast(0, None, None, None, problem=note))
            self.sweep_panel.set_startup_forecast(None)
        else:
            sample = None
            if probe is not None:
                sample = probe.sample
                target = dataclasses.replace(probe.target, current=probe.target.current or probe.current, length=probe.length)
            machine, request = read_machine(), self.request()
            measured = self._measured_of(request)
            sweep = forecast_sweep(request, target, environment, sample, machine, measured=measured)
            self.sweep_panel.set_forecast(dataclasses.replace(_forecast(sweep), each=self._training_size(request)))
            experiment = forecast_sweep(self.startup_request(), target, environment, sample, machine, measured=measured)
            self.sweep_panel.set_startup_forecast(_forecast(experiment))
        self.changed.emit()

    def _training_size(self, request: Request) -> str:
        """Returns how much each trial of a sweep in the training runs; empty for any other sweep."""
        _, limit = self.sweep_size
        return training_batches_text(limit, request.epochs) if self.kind is TRAINING_SWEEP else ""

    def _measured_of(self, request: Request) -> Measured | None:
        """Returns the last sweep that ran here, if it measured the same target and the script was not changed since."""
        run, results = self._measured or (None, ())
        if run is None or _subject(run.request) != _subject(request) or _modified_unix_s(run.script) > (run.created_unix_s or 0):
            return None
        return Measured(run.request, results)


def _kind_of(request: Request) -> RunKind:
    """Returns the kind of a run that tries settings."""
    return TRAINING_SWEEP if kind_of(request.consumer).is_training else SWEEP


def _subject(request: Request) -> tuple[object, ...]:
    """Returns the part of a request that identifies what it measures, without the settings that it varies.

    Switches of trackers do not count: the user chooses them after the forecast.
    """
    variables = {name: value for name, value in request.environment_variables.items() if not is_offline_switch(name, value)}
    return (
        request.script,
        request.module,
        request.target,
        request.script_args,
        request.arguments,
        variables,
        request.cwd,
        request.python,
    )


def _modified_unix_s(script: str) -> float:
    """Returns when a file was changed last, in Unix time; infinite if that is unknown."""
    try:
        return os.path.getmtime(script)
    except OSError:
        return math.inf


def _forecast(sweep: SweepForecast) -> Forecast:
    expected = sweep.estimate
    return Forecast(
        expected.trials, expected.seconds, expected.peak_bytes, sweep.available_bytes, tuple(sweep.skipped), commit=sweep.commit
    )


def _run_look(look: Callable[[Callable[[OutputLine], None]], object]) -> object:
    """Returns the result of a look at a script; a `_LookFailure` for an error that the user can mend; None if it was cancelled."""
    lines: list[OutputLine] = []
    try:
        return look(lines.append)
    except SweepError as error:
        return _LookFailure(error.info, lines)
    except _CancelledError:
        return None


def _with_tilde(path: str) -> str:
    """Returns a path with `~` for the home folder."""
    home = str(Path.home())
    return "~" + path[len(home) :] if path.startswith(home + os.sep) else path
