"""What happens to a training whose recording fails."""

import os
import re
import subprocess
import sys

import pytest
from running import CollectingSink, request, write_script

from loaderscope.agent import process_recording
from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.analysis.recorded_training import training_of_results, training_sentence
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.sweep import training_end
from loaderscope.sweep.training_run import RecordingBounds, TrainingRun
from loaderscope.trace import lane_table
from loaderscope.trace.model import TrackKey

SCRIPT = """
    from torch.utils.data import DataLoader
    batches = list(DataLoader(range(8), batch_size=2))
    open("trained.txt", "w").write(str(len(batches)))
    raise SystemExit(6)
"""

FORKED = """
    import os
    from torch.utils.data import DataLoader
    iterator = iter(DataLoader(range(64), batch_size=2))
    next(iterator)
    child = os.fork()
    if not child:
        list(DataLoader(range(4), batch_size=2))
        list(iterator)
        os._exit(0)
    os.waitpid(child, 0)
    next(iterator)
"""

IN_THREADS = """
    import threading
    from torch.utils.data import DataLoader

    together = threading.Barrier(2)

    def read(loader, batches):
        for epoch in range(2):
            for number, _ in enumerate(loader):
                if number < 6:
                    together.wait()  # both threads are between two batches of their loaders

    if __name__ == "__main__":
        first = DataLoader(range(24), batch_size=2)
        second = DataLoader(range(40), batch_size=4, num_workers=1)
        threads = [threading.Thread(target=read, args=(loader, number)) for number, loader in enumerate((first, second))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
"""

SAME_LINE_AT_ONCE = """
    from torch.utils.data import DataLoader

    def make(samples):
        return DataLoader(range(samples), batch_size=2)

    for epoch in range(2):
        for _ in zip(make(8), make(12)):
            pass
    assert len(list(make(6))) == 3
"""

MADE_BY_ONE_FUNCTION = """
    from torch.utils.data import DataLoader, Dataset

    class Samples(Dataset):
        def __init__(self, samples):
            self.samples = samples
        def __len__(self):
            return self.samples
        def __getitem__(self, index):
            return index

    def make(samples, **settings):
        return DataLoader(Samples(samples), batch_size=2, {shuffle})

    train, test = make(24, shuffle=True), make(8, shuffle=False)
    for epoch in range(2):
        assert len(list(train)) == 12
        assert len(list(test)) == 4
"""

MADE_ANEW = """
    from torch.utils.data import DataLoader

    for fold in range(3):
        loader = DataLoader([fold] * 8, batch_size=2)
        for epoch in range(2):
            list(loader)
    for workers in (0, 1):
        list(DataLoader(range(8), batch_size=2, num_workers=workers))
    many = [DataLoader([number], batch_size=1) for number in range(100)]
    for epoch in range(2):
        for loader in many:
            list(loader)
"""

MADE_AT_MANY_LINES = """
    import os
    from torch.utils.data import DataLoader

    for epoch in range(2):
        exec(compile("list(DataLoader(range(1)))\\n" * 300, __file__, "exec"))
    open("files.txt", "w").write(str(len(os.listdir("/proc/self/fd"))))
"""

ITERATED_WHILE_MADE = """
    from torch.utils.data import DataLoader

    class Endless(DataLoader):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.__dict__["iterator"] = super().__iter__()
        def __iter__(self):
            for _ in range(3):
                yield next(self.__dict__["iterator"])

    plain = DataLoader(range(8), batch_size=2)
    list(plain)
    endless = Endless(range(64), batch_size=2)
    for epoch in range(2):
        assert len(list(endless)) == 3
        list(plain)
"""

STANDING = """
    import os
    import sys
    import time
    from torch.utils.data import DataLoader

    class Slow(list):
        def __getitem__(self, index):
            time.sleep(1.2 if index == 2 else 0.0)
            return index

    def evaluate():
        time.sleep(1.2)

    def save():
        until_s = time.perf_counter() + 1.2
        while time.perf_counter() < until_s:
            sum(range(1000))

    for batch in DataLoader(Slow(range(4)), batch_size=1):
        if batch[0] == 0:
            evaluate()
    if sys.platform == "linux" and not os.fork():
        os._exit(0)
    save()
"""

FORKS = """
    import os
    import threading
    from torch.utils.data import DataLoader

    def count():
        threads.append(len(os.listdir("/proc/self/task")))

    threads = []
    os.register_at_fork(before=count)  # it runs after handlers that were registered later
    for _ in DataLoader(range(4)):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
    open("threads.txt", "w").write(f"{threads} {threading.enumerate()}")
"""

STEADY = """
    import sys
    import time
    from torch.utils.data import DataLoader

    class Slow(list):
        def __getitem__(self, index):
            time.sleep(0.005)
            return index

    if __name__ == "__main__":
        until_s = time.perf_counter() + 4
        test = DataLoader(range(4), batch_size=2)
        done = 0
        while time.perf_counter() < until_s:
            for batch in DataLoader(Slow(range(200)), batch_size=2, num_workers=1):
                done += 1
                if done % 10 == 0:
                    list(test)
                if time.perf_counter() > until_s:
                    break
        open("trained.txt", "w").write("whole")
"""

ENDLESS = """
    import signal
    import sys
    import time
    from torch.utils.data import DataLoader

    for number in {ignored}:
        signal.signal(number, signal.SIG_IGN)
    try:
        while True:
            for batch in DataLoader(range(10_000), batch_size=2):
                time.sleep(0.01)  # Python swallows a KeyboardInterrupt that lands in some callbacks, as in those of a fork
    except KeyboardInterrupt:
        sys.exit(9)
"""

LEFT_BY_BREAK = """
    import time
    from torch.utils.data import DataLoader

    train, validation = DataLoader(range(64), batch_size=2), DataLoader(range(8), batch_size=4)
    for number, _ in enumerate(train):
        if number == 3:
            break
    for _ in validation:
        time.sleep(0.2)
"""

COLLECTED_ELSEWHERE = """
    import gc
    import threading
    from torch.utils.data import DataLoader

    gc.disable()
    iterator = iter(DataLoader(range(64), batch_size=2, num_workers=1))
    next(iterator)
    iterator.itself = iterator
    del iterator

    def read():
        for _ in DataLoader(range(8), batch_size=2):
            gc.collect()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
"""


def record(tmp_path, script, bounds=None, status=0):
    """Runs a training; returns its sink, whose results are those of its loaders."""
    sink = CollectingSink()
    assert TrainingRun(request(write_script(tmp_path, script)), sink, bounds=bounds).run() == status
    return sink


def counts(sink, result, *states):
    return [spans_of(sink.traces[result.id], MAIN, state).size for state in states]


def test_a_fault_while_reading_ends_the_recording_and_not_the_training(tmp_path, monkeypatch):
    def fail(self, path):
        raise ValueError("damaged")

    monkeypatch.setattr(TrainingRun, "_show", fail)
    sink = CollectingSink()
    assert TrainingRun(request(write_script(tmp_path, SCRIPT)), sink).run() == 6
    assert (tmp_path / "trained.txt").read_text() == "4"
    assert [line.text for line in sink.log if "damaged" in line.text]


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork")
def test_a_forked_child_that_goes_on_with_an_iterator_leaves_the_record_of_its_parent_alone(tmp_path):
    sink = CollectingSink()
    assert TrainingRun(request(write_script(tmp_path, FORKED)), sink).run() == 0
    by_line = {result.loader.made.rpartition(":")[2]: result for result in sink.results}
    assert (by_line["4"].batches, by_line["8"].batches) == (2, 2)
    assert not [note for note in by_line["4"].notes if "not finished" in note]


@pytest.mark.slow
def test_two_threads_that_iterate_two_loaders_at_once_write_to_the_logs_of_their_own_loaders(tmp_path):
    sink = record(tmp_path, IN_THREADS)
    first, second = sorted(sink.results, key=lambda result: result.config.num_workers)
    assert (first.batches, second.batches) == (24, 20)
    for result, batches in ((first, 24), (second, 20)):
        assert counts(sink, result, State.EPOCH, State.ITERATOR, State.WAIT, State.STEP) == [2, 2, batches + 2, batches]
        assert [epoch.batches for epoch in result.epochs] == [batches // 2] * 2
        assert result.loader.wait_s is None and result.wait_share is None  # main may go on meanwhile
        assert not sink.traces[result.id].notes
    assert counts(sink, first, State.FETCH) == [24]  # main's own, and none of the other loader's
    assert counts(sink, second, State.FETCH, State.START_WORKER) == [0, 2]
    assert spans_of(sink.traces[second.id], "worker-0", State.FETCH).size == 20


def test_loaders_that_the_same_line_makes_and_the_script_iterates_at_once_are_recorded_apart(tmp_path):
    sink = record(tmp_path, SAME_LINE_AT_ONCE)
    first, second = sink.results
    assert (first.batches, second.batches) == (2 * 4 + 3, 2 * 4)
    assert first.loader.made == second.loader.made


@pytest.mark.parametrize("shuffle", ["shuffle=settings['shuffle']", "shuffle=False"])
def test_loaders_for_training_and_for_evaluation_that_one_function_makes_are_recorded_apart(tmp_path, shuffle):
    sink = record(tmp_path, MADE_BY_ONE_FUNCTION.replace("{shuffle}", shuffle))
    assert [[epoch.batches for epoch in result.epochs] for result in sink.results] == [[12, 12], [4, 4]]
    train, test = (result.loader for result in sink.results)
    assert (train.made, train.length, test.length) == (test.made, 12, 4)
    assert test.name == f"{train.name} #2"


def test_loaders_made_anew_share_a_recording_unless_their_settings_differ_and_not_all_of_many_have_their_own(tmp_path):
    sink = record(tmp_path, MADE_ANEW)
    folds, alone, with_worker, *many = sink.results
    assert [epoch.batches for epoch in folds.epochs] == [4] * 6
    assert [(result.config.num_workers, result.batches) for result in (alone, with_worker)] == [(0, 4), (1, 4)]
    assert 1 < len(many) < 50
    assert sum(result.batches for result in many) == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_a_script_with_very_many_loaders_keeps_its_files_to_open_and_all_batches_are_recorded(tmp_path):
    sink = record(tmp_path, MADE_AT_MANY_LINES)
    assert int((tmp_path / "files.txt").read_text()) < 120
    assert sum(result.batches for result in sink.results) == 600
    *_, others = sink.results
    assert (others.loader.made, others.loader.name) == (None, process_recording.OTHER_LOADERS_CLASS)
    assert others.batches > 300


def test_an_iterator_that_the_constructor_of_a_loader_makes_is_not_taken_for_another_loaders(tmp_path):
    sink = record(tmp_path, ITERATED_WHILE_MADE)
    plain, endless = sink.results
    assert (plain.batches, endless.batches) == (12, 6)
    assert counts(sink, plain, State.EPOCH, State.ITERATOR) == [3, 3]
    assert counts(sink, endless, State.EPOCH, State.STEP) == [2, 6]


def test_lines_in_which_main_stands_in_long_steps_and_outside_of_loaders_are_recorded(tmp_path):
    sink = record(tmp_path, STANDING)
    (result,) = sink.results
    trace = sink.traces[result.id]
    spans = trace.tracks[TrackKey(MAIN, lane_table.MAIN_LINE_DEPTH)].view()
    script = tmp_path / "script.py"
    lines = script.read_text().splitlines()
    evaluate, save = (1 + next(n for n, line in enumerate(lines) if text in line) for text in ("    time.sleep(1.2)", "sum(range"))
    seconds: dict[str, float] = {}
    for start_ns, end_ns, number in zip(spans["start_ns"], spans["end_ns"], spans["value"], strict=True):
        name = trace.names[int(number)]
        seconds[name] = seconds.get(name, 0.0) + (end_ns - start_ns) / 1e9
    assert 0.2 < seconds.pop(f"{script}:{evaluate} in evaluate") < 0.8  # of 1.2 s the first half is too short to be looked at
    assert f"{script}:{save} in save" in seconds
    assert sum(value for name, value in seconds.items() if not name.endswith("in save")) < 0.5  # the wait of 1.2 s is none


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_no_thread_of_ours_runs_during_a_fork_or_shows_in_threading(tmp_path):
    texts = []
    for run in (lambda: subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True), lambda: record(tmp_path, FORKS)):
        write_script(tmp_path, FORKS)
        run()
        texts.append(re.sub("[0-9]{6,}", "", (tmp_path / "threads.txt").read_text()))
    assert texts[0] == texts[1]


def test_a_recording_between_two_times_holds_nothing_of_any_process_outside_of_them(tmp_path):
    sink = record(tmp_path, STEADY, RecordingBounds(skip_s=3.0, seconds=1.0))
    assert (tmp_path / "trained.txt").read_text() == "whole"
    train = next(result for result in sink.results if result.config.num_workers == 1)
    assert train.loader.recorded_s == pytest.approx(1.0)
    training = training_of_results(sink.results)
    assert training.exposed_share == pytest.approx(training.exposed_s)  # of one second
    assert training.first_batch_s is None
    assert "1.00 s that were recorded" in training_sentence(training, sink.results)
    assert 20 < train.batches < 110  # of 10 ms each
    trace = sink.traces[train.id]
    rows = [track.view() for track in trace.tracks.values() if len(track)]
    first_ns, last_ns = min(view["start_ns"].min() for view in rows), max(view["end_ns"].max() for view in rows)
    assert last_ns - first_ns <= 1_000_000_000
    assert trace.origin_ns <= first_ns and last_ns <= trace.newest_ns <= trace.origin_ns + 1_000_000_000
    assert all((points.view()["time_ns"] <= last_ns).all() for points in trace.points.values())
    assert spans_of(trace, "worker-0", State.FETCH).size > 20


def test_a_recording_of_some_batches_ends_with_the_step_of_the_last(tmp_path):
    sink = record(tmp_path, STEADY, RecordingBounds(batches=25))
    assert (tmp_path / "trained.txt").read_text() == "whole"
    assert sum(result.batches for result in sink.results) == 25
    assert sum(sum(counts(sink, result, State.STEP)) for result in sink.results) == 25
    assert {result.loader.recorded_s < result.loader.training_s - 2 for result in sink.results} == {True}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("ignored", "status"), [((), 9), (("SIGINT",), -15), (("SIGINT", "SIGTERM"), -9)])
def test_a_training_ends_with_its_recording_by_ctrl_c_and_more_firmly_if_it_does_not(tmp_path, monkeypatch, ignored, status):
    if ignored:
        monkeypatch.setattr(training_end, "PATIENCE_S", 0.5)
    script = ENDLESS.format(ignored=f"[{', '.join(f'signal.{name}' for name in ignored)}]")
    sink = record(tmp_path, script, RecordingBounds(batches=10, then_stop=True), status)
    assert sink.results[0].batches == 10
    assert sink.results[0].loader.exit_status == status
    assert any("is ended now" in line.text for line in sink.log)


def test_a_step_that_a_break_leaves_ends_when_another_loader_is_iterated(tmp_path):
    sink = record(tmp_path, LEFT_BY_BREAK)
    train, validation = ([spans_of(sink.traces[result.id], MAIN, state) for state in (State.STEP, State.EPOCH)] for result in sink.results)
    assert train[0].size == 4
    assert train[0].end_ns[-1] <= train[1].end_ns[-1] <= validation[1].start_ns[0] < validation[0].end_ns[-1] - 300_000_000


@pytest.mark.slow
def test_a_loader_whose_iterator_another_thread_collects_is_still_one_of_the_main_thread(tmp_path):
    sink = record(tmp_path, COLLECTED_ELSEWHERE)
    first, second = sink.results
    assert first.loader.wait_s is not None and second.loader.wait_s is None
    assert counts(sink, first, State.WAIT, State.SHUTDOWN) == [1, 1]
    assert counts(sink, second, State.WAIT, State.SHUTDOWN) == [5, 0]
