"""Recorded trainings that never ran: loaders whose every time is known, from which results are computed as for real ones."""

import dataclasses

from reference import reference_trace
from synthetic import Process, Simulation

from loaderscope.agent.layout import Role, State, batch_of_epoch
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.epochs import read_epochs
from loaderscope.analysis.exposed_time import with_exposed_time
from loaderscope.analysis.recorded_training import wait_seconds
from loaderscope.analysis.throughput import epoch_times
from loaderscope.facts.recorded_use import LoaderUse
from loaderscope.facts.results import TrialResult
from loaderscope.trace.lane_table import MAIN_LANE, MAIN_LINE_DEPTH

BEGAN_NS = 7_000_000_000_000
TRAINING_S = 100.0


def ns(seconds):
    return BEGAN_NS + round(seconds * 1e9)


@dataclasses.dataclass
class Loader:
    """A loader of a training, recorded second by second."""

    made: str
    pid: int = 11
    epochs: int = 0
    lines: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self.main = Process(self.pid, Role.MAIN, None, BEGAN_NS)

    def epoch(self, start_s, iterator_s, *batches, end_s, is_left=False):
        """Records an epoch; a batch is when it is in hand and when its step ends, the next wait follows at once."""
        number, main = self.epochs, self.main
        self.epochs += 1
        main.begin(ns(start_s), State.EPOCH, number)
        main.span(ns(start_s), ns(iterator_s), State.ITERATOR, number)
        done_s = iterator_s
        for batch, (in_hand_s, step_end_s) in enumerate(batches):
            main.begin(ns(done_s), State.WAIT, number)
            main.end(ns(in_hand_s), State.WAIT, batch, 0)
            main.span(ns(in_hand_s), ns(step_end_s), State.STEP, batch)
            done_s = step_end_s
        if not is_left:
            main.begin(ns(done_s), State.WAIT, number)
            main.end(ns(end_s), State.WAIT, -1, 0)
        main.end(ns(end_s), State.EPOCH, number, len(batches))
        return self

    def device_step(self, start_s, end_s, batch=0):
        self.main.complete(ns(start_s), round((end_s - start_s) * 1e9), State.DEVICE_STEP, batch_of_epoch(0, batch))

    def optimizer_steps(self, *seconds):
        for second in seconds:
            self.main.instant(ns(second), State.OPTIMIZER_STEP)

    def seen_in(self, line, start_s, end_s):
        self.lines.append((line, start_s, end_s))

    def trace(self):
        self.main.records.sort(key=lambda record: record.written_ns)
        trace = reference_trace(Simulation([self.main]))
        for number, (line, start_s, end_s) in enumerate(self.lines):
            trace.names[number] = line
            track = trace.track(MAIN_LANE, MAIN_LINE_DEPTH)
            track.append(start_ns=ns(start_s), end_ns=ns(end_s), state=int(State.MAIN_LINE), batch=-1, value=number)
        return trace


def _fail(text):
    raise AssertionError(text)


def traces_and_results(*loaders, in_threads=(), seconds=TRAINING_S):
    """Returns the result and the trace of each loader of a training."""
    results, traces = [], [loader.trace() for loader in loaders]
    for number, (loader, trace) in enumerate(zip(loaders, traces, strict=True)):
        wait_s = None if loader in in_threads else wait_seconds(trace, False)
        use = LoaderUse(loader.made, None, "DataLoader", "Data", None, loader.pid, wait_s, seconds, 0)
        times = [epoch_times(epoch) for epoch in read_epochs(trace)]
        batches = sum(epoch.batches for epoch in times)
        results.append(TrialResult(number, 0, "ok", TrialConfig(0), batches=batches, epochs=times, loader=use))
    return list(zip(with_exposed_time(results, traces, BEGAN_NS, _fail), traces, strict=True))


def training(*loaders, **options):
    """Returns the results of a training of these loaders."""
    return [result for result, _ in traces_and_results(*loaders, **options)]


def train_and_test():
    """A training that validates in the middle of a step, and saves between its epochs."""
    train = Loader("a/train.py:87").epoch(10, 11, (13, 20), (21, 40), end_s=41).epoch(50, 50, (52, 60), end_s=60)
    test = Loader("a/train.py:90").epoch(25, 25.5, (27, 29), end_s=30)
    return train, test
