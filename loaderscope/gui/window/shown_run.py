"""The run and the trial that the window shows, and how the views keep up with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, Signal

from loaderscope.analysis.verdict import Verdict, judge
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run
from loaderscope.gui.run.live_run import LiveRun
from loaderscope.gui.run.run_state import RunState, Snapshot
from loaderscope.gui.run.trace_loader import LoadedTrace, TraceLoader
from loaderscope.gui.window.comparison import Comparison
from loaderscope.gui.window.headline import sentence_of
from loaderscope.gui.window.setup import Setup
from loaderscope.gui.window.views import Views
from loaderscope.trace.model import Trace


class ShownRun(QObject):
    """One run at a time: the one that runs, or an opened session; and the trial of it whose timeline is shown.

    Signals:
        changed: what can be done with what is shown may differ now.

    Attributes:
        state: the run.
        trial: id of the trial whose timeline is shown; None without any.
        follows: whether it goes on to the next trial when that starts.
    """

    changed = Signal()

    def __init__(
        self,
        setup: Setup,
        live: LiveRun,
        views: Views,
        *,
        expectation: Callable[[], str],
        tell_problem: Callable[[str], object],
        parent: QObject,
    ) -> None:
        """Shows nothing yet.

        Args:
            setup: told when a run is shown in place of another.
            live: the run that goes on, if any does.
            views: what shows the run.
            expectation: how long the run that goes on takes, in words; empty where that is not known.
            tell_problem: says a sentence where the user looks.
            parent: owns this.
        """
        super().__init__(parent)
        self._setup, self._live, self._views = setup, live, views
        self._expectation, self._tell_problem = expectation, tell_problem
        self.comparison = Comparison(views.pair, views.compare, views.show_message)
        self.state = RunState()
        self.trial: int | None = None
        self.follows = True
        self._seen_version = -1
        self._seen_results: object = None
        self._log_count = 0
        self._verdict = Verdict()
        self._switching = False
        self._reading = TraceLoader(self._take_read, self)
        live.ticked.connect(self._tick)
        for source in (views.results, views.findings, views.throughput, views.startup):
            source.trialChosen.connect(self.choose_trial)
        views.trials.activated.connect(lambda _index: self.choose_trial(views.trials.currentData()))
        views.results.compareRequested.connect(self.comparison.choose)
        views.timeline.followingChanged.connect(self._following_changed)

    @property
    def run(self) -> Run | None:
        """What was asked for, and where it runs."""
        return self.state.snapshot().run

    @property
    def results(self) -> Sequence[TrialResult]:
        """The trials that have ended."""
        return self.state.snapshot().results

    @property
    def is_judged(self) -> bool:
        """Whether there is something to say about the run."""
        return bool(self._verdict.summary)

    def show(self, state: RunState) -> None:
        """Shows a run in place of the one that is shown."""
        self.state = state
        self._seen_results = None
        self._log_count = 0
        self.trial = None
        self._views.clear()
        self._setup.target_panel.show_problem("")
        self.show_progress()
        if state.snapshot().results:
            best = self._best_trial()
            self.choose_trial(best if best is not None else self._views.results.model.row(0).trial_id)

    def end(self) -> None:
        """The run that was shown while it went on is over."""
        followed, self.follows = self.follows, False
        self._seen_results = None
        self.show_progress()
        best = self._best_trial()
        if followed and best is not None:
            self.choose_trial(best)
        elif self.trial is not None:
            self._views.timeline.refresh()
            self._show_trace(self.trial)

    def _tick(self) -> None:
        if self.state.version != self._seen_version:
            self.show_progress()
        if self.trial is not None:
            self._views.timeline.refresh()
            self._views.refresh_memory()

    def _best_trial(self) -> int | None:
        """The trial that stands for the recommended setting."""
        best = self._verdict.recommendation
        row = self._views.results.model.find(best.config) if best is not None else None
        return self._views.results.model.row(row).trial_id if row is not None else None

    def show_progress(self) -> None:
        """Everything but the timeline, as far as it differs from what was shown before."""
        snapshot = self.state.snapshot()
        self._seen_version = snapshot.version
        count, lines = self.state.log_since(self._log_count)
        self._views.log.add(lines, max(0, count - self._log_count - len(lines)))
        self._log_count = count
        self._views.show_progress(snapshot, self._live.running, self._expectation())
        current = snapshot.current.id if snapshot.current is not None else None
        seen = (snapshot.run is None, current, len(snapshot.results))
        if seen != self._seen_results:
            self._seen_results = seen
            self._verdict = judge(snapshot.run, snapshot.results) if snapshot.run is not None else Verdict()
            self._show_results(snapshot)
        if self.follows and current is not None and current != self.trial:
            self._show_trace(current)

    def show_anew(self) -> None:
        """Shows the results once more, as after a change of colours."""
        self._show_results(self.state.snapshot())

    def _show_results(self, snapshot: Snapshot) -> None:
        self._views.show_results(snapshot, self._verdict, self.trial)
        self._update_comparison()
        self.show_headline()
        self.changed.emit()

    def show_headline(self) -> None:
        """Says what the run shows, or what to do next."""
        self._views.show_headline(sentence_of(self._verdict, self._setup, self._live.running))

    def choose_trial(self, trial_id: int) -> None:
        """Shows the timeline of a trial, and stays with it."""
        current = self.state.snapshot().current
        self.follows = current is not None and current.id == trial_id
        self._show_trace(trial_id)

    def _show_trace(self, trial_id: int) -> None:
        self.trial = trial_id
        if self._reading.read(self.state, trial_id):
            self._views.timeline.show_preparing(f"Reading trial {trial_id}")

    def _take_read(self, read: LoadedTrace) -> None:
        """A trace was read, perhaps for a trial or session that is not shown any more."""
        if read.state is not self.state or read.trial_id != self.trial:
            return
        if read.problem:
            self._tell_problem(read.problem)
        self._show_read(read.trial_id, read.trace)

    def _show_read(self, trial_id: int, trace: Trace | None) -> None:
        snapshot = self.state.snapshot()
        if trace is not None and trace.origin_ns is None and not self._live.running:
            trace = None  # a trial that was never started
        result = next((result for result in snapshot.results if result.id == trial_id), None)
        running = snapshot.current is not None and snapshot.current.id == trial_id
        self._switching = True
        self._views.show_trace(trace, trial_id, snapshot, result)
        self._views.timeline.set_live(running)
        self._switching = False
        self._update_comparison()
        self.changed.emit()

    def _update_comparison(self) -> None:
        best = self._verdict.recommendation
        self.comparison.update(self.state, self.trial, best.config if best is not None else None)

    def step_trial(self, step: int) -> None:
        """Shows the timeline of the trial before or after."""
        combo = self._views.trials
        index = combo.currentIndex() + step
        if 0 <= index < combo.count():
            self.choose_trial(combo.itemData(index))

    def set_follow(self, follow: bool) -> None:
        """Follows the trial that runs, and its newest data."""
        current = self.state.snapshot().current
        self.follows = follow and self._live.running
        if self.follows and current is not None:
            if current.id != self.trial:
                self._show_trace(current.id)
            self._views.timeline.follow_live()
        self.changed.emit()

    def _following_changed(self, following: bool) -> None:
        """The user moved the timeline by hand, or returned to its end."""
        if not self._switching:
            self.follows = following and self._live.running
            self.changed.emit()
