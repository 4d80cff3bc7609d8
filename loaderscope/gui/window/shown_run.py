"""The run and the trial that the window shows; keeps the views up to date with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, Signal

from loaderscope.analysis.verdict import Verdict, judge
from loaderscope.facts.finding_codes import finding_code
from loaderscope.facts.findings import Finding, Place
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run
from loaderscope.gui.panels.finding_cards import severity_role
from loaderscope.gui.panels.startup_panel import EXPERIMENT
from loaderscope.gui.run.live_run import LiveRun
from loaderscope.gui.run.run_state import RunState, Snapshot
from loaderscope.gui.run.trace_loader import LoadedTrace, TraceLoader
from loaderscope.gui.run.training_progress import TrainingProgress
from loaderscope.gui.run.training_trace import ALL_LOADERS
from loaderscope.gui.timeline.paint.places import ShownPlaces
from loaderscope.gui.window.comparison import Comparison
from loaderscope.gui.window.headline import headline_sentence
from loaderscope.gui.window.setup import Setup
from loaderscope.gui.window.start_actions import StartActions
from loaderscope.gui.window.views import Views
from loaderscope.trace.model import Trace

PROGRESS_INTERVAL_S = 1.0
"""How often the progress of a training is counted again."""


class ShownRun(QObject):
    """The shown run, a running one or an opened session, and the trial whose timeline is shown.

    Signals:
        changed: the shown run or trial changed, so other commands may be available now.

    Attributes:
        state: the run.
        trial: id of the trial whose timeline is shown, `ALL_LOADERS`, or None.
        follows: whether each trial is shown when it starts.
    """

    changed = Signal()

    def __init__(
        self,
        setup: Setup,
        live: LiveRun,
        views: Views,
        *,
        starting: StartActions,
        show_problem: Callable[[str], object],
        parent: QObject,
    ) -> None:
        """Shows nothing yet.

        Args:
            setup: its problem is cleared when another run is shown.
            live: the present run, if there is one.
            views: show the run.
            starting: knows how long the present run has taken, and how long a sweep will take.
            show_problem: shows a sentence to the user.
            parent: owns this object.
        """
        super().__init__(parent)
        self._setup, self._live, self._views = setup, live, views
        self._starting, self._show_problem = starting, show_problem
        self._progress = TrainingProgress()
        self._progress_shown_s = 0.0
        self.comparison = Comparison(views.pair, views.compare, views.show_message)
        self.state = RunState()
        self.trial: int | None = None
        self.follows = True
        self._seen_version = -1
        self._seen_results: object = None
        self._log_count = 0
        self._verdict = Verdict()
        self._switching = False
        self._place: Place | None = None  # to show as soon as its timeline is shown
        self._loader = TraceLoader(self._show_loaded, self)
        live.ticked.connect(self._tick)
        for source in (views.results, views.findings, views.throughput, views.startup):
            source.trialChosen.connect(self.choose_trial)
        views.trials.activated.connect(lambda _index: self.choose_trial(views.trials.currentData()))
        views.findings.findingSelected.connect(lambda _finding: self._mark_places())
        views.findings.placeChosen.connect(self.show_place)
        views.results.compareRequested.connect(self.comparison.choose)
        views.timeline.followingChanged.connect(self._following_changed)

    @property
    def run(self) -> Run | None:
        """The run with its request and environment; None before it has started."""
        return self.state.snapshot().run

    @property
    def results(self) -> Sequence[TrialResult]:
        """The results of the trials that have ended."""
        return self.state.snapshot().results

    @property
    def findings(self) -> Sequence[Finding]:
        """The findings of the run."""
        return self._verdict.findings

    @property
    def marked_trial(self) -> int | None:
        """The trial that has the marks of the shown timeline: all loaders of a training share those of its first."""
        snapshot = self.state.snapshot()
        return min(snapshot.trials, default=None) if snapshot.is_training else self.trial

    @property
    def is_judged(self) -> bool:
        """Whether there is a verdict about the run."""
        return bool(self._verdict.summary)

    def show(self, state: RunState) -> None:
        """Shows another run."""
        self.state = state
        self._seen_results = None
        self._log_count = 0
        self.trial = None
        self._views.clear()
        self._setup.target_panel.show_problem("")
        self.show_progress()
        snapshot = state.snapshot()
        if snapshot.results:
            best = ALL_LOADERS if snapshot.is_training else self._recommended_trial()
            self.choose_trial(best if best is not None else self._views.results.model.row(0).trial_id)
        if self._verdict.experiment is not None and not self._live.running:
            self._views.open_startup(EXPERIMENT)

    def run_ended(self) -> None:
        """Shows the end of the present run; if the user followed a sweep, its recommended trial."""
        followed, self.follows = self.follows, False
        self._seen_results = None
        self.show_progress()
        best = self._recommended_trial()
        if followed and best is not None:
            self.choose_trial(best)
        elif self.trial is not None:
            self._views.timeline.refresh()
            self._load_trace(self.trial)

    def _tick(self) -> None:
        counts = self._live.training is not None and time.monotonic() - self._progress_shown_s >= PROGRESS_INTERVAL_S
        if self.state.version != self._seen_version or counts:
            self.show_progress()
        if self.trial is not None:
            if self.trial == ALL_LOADERS:
                self.state.refresh()
            self._views.timeline.refresh()
            self._views.refresh_memory()

    def _recommended_trial(self) -> int | None:
        """Returns the trial that represents the recommended setting."""
        best = self._verdict.recommendation
        row = self._views.results.model.find(best.config) if best is not None else None
        return self._views.results.model.row(row).trial_id if row is not None else None

    def show_progress(self) -> None:
        """Updates everything but the timeline, as far as it has changed."""
        snapshot = self.state.snapshot()
        self._seen_version = snapshot.version
        count, lines = self.state.log_since(self._log_count)
        self._views.log.add(lines, max(0, count - self._log_count - len(lines)))
        self._log_count = count
        if self._live.training is not None:
            self._show_training_progress(snapshot)
        else:
            self._views.show_progress(snapshot, self._live.running, self._starting.expectation)
        current = snapshot.current
        seen = (snapshot.run is None, snapshot.running, len(snapshot.results))
        if seen != self._seen_results:
            self._seen_results = seen
            self._verdict = judge(snapshot.run, snapshot.results) if snapshot.run is not None else Verdict()
            self._show_results(snapshot)
        if self.follows and current is not None and not self._is_running(self.trial):
            self._load_trace(current)

    def _show_training_progress(self, snapshot: Snapshot) -> None:
        """Counts loaders and batches, at most once a second: the log may change with every tick."""
        now_s = time.monotonic()
        if now_s - self._progress_shown_s >= PROGRESS_INTERVAL_S or self.state.version == 0:
            self._progress_shown_s = now_s
            self._views.show_training_progress(snapshot, self._progress.text(self.state, self._starting.running_s))

    def show_results_again(self) -> None:
        """Shows the results again, as after a change of colours."""
        self._show_results(self.state.snapshot())

    def _show_results(self, snapshot: Snapshot) -> None:
        self._views.show_results(snapshot, self._verdict, self.trial)
        self._update_comparison()
        self.show_headline()
        self.changed.emit()

    def show_headline(self) -> None:
        """Shows the result of the run, or what to do next."""
        live, is_training = self._live, self._live.training is not None
        self._views.show_headline(headline_sentence(self._verdict, self._setup, live.running, is_training, live.is_stopping))

    def choose_trial(self, trial_id: int) -> None:
        """Shows the timeline of a trial; later trials do not replace it, unless it is the running one."""
        self.follows = self._is_running(trial_id)
        self._load_trace(trial_id)

    def show_place(self, place: Place) -> None:
        """Shows a place of a finding on the timeline of its trial, with what is around it."""
        if place.trial == self.trial and self._views.timeline.scene is not None:
            self._views.timeline.show_place(place)
            return
        self._place = place
        self.choose_trial(place.trial)

    def _mark_places(self) -> None:
        """Marks where the selected finding shows on the shown timeline."""
        finding = self._views.findings.selected
        places = tuple(place for place in finding.places if place.trial == self.trial) if finding is not None else ()
        title, role = (finding_code(finding.code).title, severity_role(finding.severity)) if finding is not None else ("", "")
        self._views.timeline.show_places(ShownPlaces(title, role, places) if places else None)

    def _is_running(self, trial_id: int | None) -> bool:
        """Returns whether the trace of a trial, or of all loaders, still grows."""
        snapshot = self.state.snapshot()
        return trial_id is not None and (trial_id == snapshot.current or any(trial.id == trial_id for trial in snapshot.running))

    def _load_trace(self, trial_id: int) -> None:
        self.trial = trial_id
        if self._loader.read(self.state, trial_id):
            name = "all loaders" if trial_id == ALL_LOADERS else f"trial {trial_id}"
            self._views.timeline.show_preparing(f"Reading {name}")

    def _show_loaded(self, loaded: LoadedTrace) -> None:
        """Shows a trace that was read, unless another trial or session is shown meanwhile."""
        if loaded.state is not self.state or loaded.trial_id != self.trial:
            return
        if loaded.problem:
            self._show_problem(loaded.problem)
        self._show_timeline(loaded.trial_id, loaded.trace)

    def _show_timeline(self, trial_id: int, trace: Trace | None) -> None:
        snapshot = self.state.snapshot()
        if trace is not None and trace.origin_ns is None and not self._live.running:
            trace = None  # a trial that was never started
        result = next((result for result in snapshot.results if result.id == trial_id), None)
        running = self._is_running(trial_id)
        self._switching = True
        self._views.show_trace(trace, trial_id, snapshot, result)
        self._views.timeline.set_live(running)
        self._switching = False
        self._mark_places()
        place, self._place = self._place, None
        if place is not None and place.trial == trial_id:
            self._views.timeline.show_place(place)
        self._update_comparison()
        self.changed.emit()

    def _update_comparison(self) -> None:
        best = self._verdict.recommendation
        self.comparison.update(self.state, self.trial, best.config if best is not None else None)

    def step_trial(self, step: int) -> None:
        """Shows the trial that is `step` places further down in the list of trials."""
        combo = self._views.trials
        index = combo.currentIndex() + step
        if 0 <= index < combo.count():
            self.choose_trial(combo.itemData(index))

    def set_follow(self, follow: bool) -> None:
        """Starts or ends following the running trial and its newest data."""
        current = self.state.snapshot().current
        self.follows = follow and self._live.running
        if self.follows and current is not None:
            if not self._is_running(self.trial):
                self._load_trace(current)
            self._views.timeline.follow_live()
        self.changed.emit()

    def _following_changed(self, following: bool) -> None:
        """Adapts to a user who moved the timeline by hand, or returned to its end."""
        if not self._switching:
            self.follows = following and self._live.running
            self.changed.emit()
