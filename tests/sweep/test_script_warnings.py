"""Lines of stderr beside what a trial's processes recorded, and both together in real sweeps."""

from __future__ import annotations

import collections
import os

import pytest
from agent_interpreter import needs
from running import CollectingSink, request, run_pool, write_script

from loaderscope.agent.layout import REST
from loaderscope.agent.messages import ErrorInfo
from loaderscope.facts.results import ScriptWarning
from loaderscope.sweep.processes.agent_output import OutputLine
from loaderscope.sweep.script_warnings import FURTHER_LINES, MOST_STDERR_TEXTS, TrialStderr
from loaderscope.trace.model import Warned


def warnings_of(lines, warned=(), error=None, in_main=False):
    stderr = TrialStderr()
    for number, text in enumerate(lines):
        stderr.add(OutputLine(1000 + number, "stderr", text))
    return stderr.warnings(warned, error, in_main)


def texts_of(lines, warned=(), error=None):
    return [warning.text for warning in warnings_of(lines, warned, error) if warning.kind == "stderr"]


def warned(kind, text, place="/home/me/train.py:7", first_ns=0):
    return Warned("worker-0", kind, place, text, first_ns, 1)


def test_equal_lines_are_one_row_with_a_count_and_nothing_else_is_lost():
    found = warnings_of(["slow disk", "", "other", "slow disk  "])
    assert found == [ScriptWarning(None, "stderr", "slow disk", 2), ScriptWarning(None, "stderr", "other", 1)]


def test_where_main_is_the_only_process_lines_come_from_there():
    assert [warning.process for warning in warnings_of(["x"], in_main=True)] == ["main"]


def test_lines_of_stdout_are_no_warnings():
    stderr = TrialStderr()
    stderr.add(OutputLine(0, "stdout", "all is well"))
    assert stderr.warnings((), None, False) == []


def test_what_stands_for_dropped_output_is_one_row_however_much_was_dropped():
    stderr = TrialStderr()
    for number, text in enumerate(("[12 kB left out]", "[7.5 kB left out]")):
        stderr.add(OutputLine(number, "stderr", text, dropped_bytes=1))
    (row,) = stderr.warnings((), None, False)
    assert row.count == 2
    assert len(texts_of(["[12 kB left out]", "[7.5 kB left out]"])) == 2  # a script's own lines of that kind stay apart


def test_records_and_lines_stand_in_the_order_in_which_they_came_up():
    stderr = TrialStderr(offset_ns=50)
    for time_ns, text in ((0, "first"), (100, "third")):
        stderr.add(OutputLine(time_ns, "stderr", text))
    rows = [warned("ERROR", "second", first_ns=80), warned("UserWarning", "last", first_ns=200)]
    assert [warning.text for warning in stderr.warnings(rows, None, False)] == ["first", "second", "third", "last"]


def test_a_shown_warning_and_its_line_of_source_are_not_told_twice():
    lines = ["/home/me/train.py:7: UserWarning: too long", '  warnings.warn("too long")', "  not its source", "mine"]
    assert texts_of(lines, [warned("UserWarning", "too long")]) == ["  not its source", "mine"]


def test_a_warning_of_many_lines_is_not_told_twice():
    lines = ["/home/me/train.py:7: UserWarning: one", "two", "  three", "  warnings.warn(text)", "two"]
    assert texts_of(lines, [warned("UserWarning", "one\ntwo\n  three")]) == ["two"]


@pytest.mark.parametrize(
    "line",
    [
        "sample 3 is slow",
        "WARNING:mine:sample 3 is slow",
        "2026-01-01 12:00:00,000 [mine] sample 3 is slow",
        "sample 3 is slow (train.py:7)",
        "\x1b[33mWARNING\x1b[0m sample 3 is slow",
    ],
)
def test_a_line_that_a_handler_printed_is_not_told_twice(line):
    assert texts_of([line, "mine"], [warned("WARNING", "sample 3 is slow")]) == ["mine"]


def test_a_line_that_only_ends_with_the_words_of_a_warning_is_told():
    assert texts_of(["it was too long"], [warned("UserWarning", "too long")]) == ["it was too long"]


def test_a_short_message_hides_only_the_lines_that_end_with_it():
    lines = ["ERROR:root:no", "no", "no disk", "volcano"]
    assert texts_of(lines, [warned("ERROR", "no")]) == ["no disk", "volcano"]


def test_lines_of_texts_that_were_not_kept_are_not_told_as_lines():
    rows = [warned("WARNING", "sample 3 is slow"), warned("WARNING", REST)]
    lines = ["WARNING:mine:sample 977 is slow", "sample 12 is slow", "sample x is slow"]
    assert texts_of(lines, rows) == ["sample x is slow"]
    rows = [warned("UserWarning", "bad image 1"), warned("UserWarning", REST)]
    assert texts_of(["/home/me/train.py:7: UserWarning: whatever", "  warn(name)", "/home/me/other.py:7: UserWarning: whatever"], rows) == [
        "/home/me/other.py:7: UserWarning: whatever"
    ]


TRACEBACK = ["Traceback (most recent call last):", '  File "a.py", line 3, in f', "    g()", "ValueError: wrong"]


def test_a_traceback_is_one_text_with_what_it_was_raised_from():
    chained = [*TRACEBACK, "", "During handling of the above exception, another exception occurred:", "", *TRACEBACK]
    assert len(texts_of(["before", *chained, "behind"])) == 3
    assert len(texts_of([*TRACEBACK, *TRACEBACK, "Process SpawnProcess-1:", *TRACEBACK])) == 2


def test_the_traceback_of_the_trials_own_error_is_not_told_again():
    error = ErrorInfo("ValueError", "wrong", "\n".join(TRACEBACK[1:]))
    other = [*TRACEBACK[:-1], "KeyError: 'other'"]
    assert texts_of([*TRACEBACK, "mine", *other], error=error) == ["mine", "\n".join(other)]


def test_an_account_of_a_record_that_logging_could_not_format_is_one_text():
    lines = ["--- Logging error ---", *TRACEBACK, "Call stack:", '  File "a.py", line 3', "Message: 'a %d'", "Arguments: ('b',)"]
    assert len(texts_of([*lines, "mine", *lines])) == 2


def test_what_is_printed_only_because_of_us_is_left_out_but_not_what_we_say():
    lines = [
        "/usr/lib/python3.11/multiprocessing/resource_tracker.py:224: UserWarning: resource_tracker: There appear to be 5 leaked semaphore "
        "objects to clean up at shutdown",
        "  warnings.warn('resource_tracker: There appear to be %d '",
        "loaderscope: worker 1 is not recorded: No space left on device",
    ]
    assert texts_of(lines) == lines[-1:]


def test_a_progress_bar_is_one_text_in_its_last_state():
    bars = [f"{share}%|{'█' * (share // 10)}   | {share}/100 [00:01<00:00, {share}.5it/s]" for share in (10, 50, 100)]
    assert warnings_of(bars) == [ScriptWarning(None, "stderr", bars[-1], 3)]
    assert len(texts_of([f"{count}it [00:0{count}, {count}.2it/s]" for count in range(9)])) == 1


def test_a_flood_of_lines_is_cut_off_and_counted():
    found = warnings_of([f"name {'x' * number}" for number in range(500)])
    assert len(found) == MOST_STDERR_TEXTS + 1
    assert (found[-1].text, found[-1].count) == (FURTHER_LINES, 500 - MOST_STDERR_TEXTS)
    assert sum(warning.count for warning in warnings_of(["a", *map(str, range(30_000))])) == 30_001


def test_thousands_of_shown_warnings_leave_no_line_over():
    shown = ["/home/me/train.py:7: UserWarning: too long", '  warnings.warn("too long")'] * 30_000
    found = warnings_of([*shown, "mine", *shown, "mine"], [warned("UserWarning", "too long")])
    assert [(warning.kind, warning.text, warning.count) for warning in found] == [
        ("UserWarning", "too long", 1),
        ("stderr", FURTHER_LINES, 2),
    ]


def test_a_flood_of_records_that_were_too_many_to_be_kept_is_not_told_again_of_their_lines():
    lines = [f"frame {number} is dark" for number in range(40_000)]
    found = warnings_of([*lines, "mine", "mine"], [warned("WARNING", lines[0]), warned("WARNING", REST)])
    assert [(warning.text, warning.count) for warning in found if warning.kind == "stderr"] == [(FURTHER_LINES, 2)]


SPEAKING = """
    import logging, os, sys, warnings
    import torch
    from torch.utils.data import Dataset

    warnings.simplefilter("always")
    warnings.warn("while it is imported")
    print("printed while it is imported", file=sys.stderr)
    logger = logging.getLogger("mine")

    class Speaking(Dataset):
        def __len__(self):
            return 40
        def __getitem__(self, index):
            warnings.warn("each sample", RuntimeWarning)
            logger.error("bad sample %d", index // 10)
            if index % 20 == 0:
                print("printed", file=sys.stderr)
                os.write(2, b"from C\\n")
            return torch.zeros(2)

    dataset = Speaking()
"""


def speak(tmp_path, workers, method, text=SPEAKING, **options) -> CollectingSink:
    script = write_script(tmp_path, text)
    return run_pool(request(script, (workers,), method, target="dataset", batch_size=(4,), batches=None, **options))


def counts(result, kind):
    found: collections.Counter[tuple[str | None, str]] = collections.Counter()
    for warning in result.warnings:
        if warning.kind == kind:
            found[warning.process, warning.text] += warning.count
    return found


@pytest.mark.parametrize(
    ("workers", "method"),
    [(0, "fork"), (2, "fork"), *(pytest.param(2, method, marks=pytest.mark.slow) for method in ("spawn", "forkserver"))],
)
def test_every_process_tells_what_it_warned_of_logged_and_printed(tmp_path, workers, method):
    sink = speak(tmp_path, workers, method, epochs=2)
    (result,) = sink.results
    assert result.status == "ok"
    names = ["main"] if not workers else ["worker-0", "worker-1"]
    assert {process for process, _ in counts(result, "RuntimeWarning")} == set(names)
    assert counts(result, "RuntimeWarning").total() == 2 * 40
    assert counts(result, "ERROR").total() == 2 * 40
    assert {text for _, text in counts(result, "ERROR")} == {f"bad sample {number}" for number in range(4)}
    anywhere = None if workers else "main"
    printed = {(anywhere, "printed"): 4, (anywhere, "from C"): 4}
    imports = workers * 2 if method != "fork" else 0  # workers that import the script, in each epoch
    assert counts(result, "stderr") == printed | ({(None, "printed while it is imported"): imports} if imports else {})
    assert counts(result, "UserWarning") == ({(name, "while it is imported"): 2 for name in names} if imports else {})
    assert "printed while it is imported" in sink.output


def test_threads_tell_which_of_them_warned(tmp_path):
    (result,) = speak(tmp_path, 2, "fork", backend=("thread",)).results
    assert {process for process, _ in counts(result, "RuntimeWarning")} <= {"worker-0", "worker-1"}
    assert counts(result, "RuntimeWarning").total() == 40
    # one batch more is read after the trial, to learn which generators its threads share
    assert set(counts(result, "stderr")) == {(None, "printed"), (None, "from C")}


def test_each_trial_in_one_agent_has_its_own(tmp_path):
    script = write_script(tmp_path, SPEAKING)
    sink = run_pool(request(script, (1, 2), "fork", target="dataset", batch_size=(4,), batches=5, repeats=2))
    assert [counts(result, "RuntimeWarning").total() for result in sink.results] == [20] * 4
    assert [counts(result, "stderr").total() for result in sink.results] == [2] * 4
    assert len({process.pid for trace in sink.traces.values() for process in trace.processes if process.name == "main"}) == 1


PRINTING = """
    import sys
    from torch.utils.data import Dataset

    class Printing(Dataset):
        def __len__(self):
            return 4000
        def __getitem__(self, index):
            for stream in (sys.stdout, sys.stderr):
                print("printed", file=stream)
            return index

    dataset = Printing()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_lines_of_workers_that_print_at_once_stay_whole(tmp_path, method):
    script = write_script(tmp_path, PRINTING)
    sink = run_pool(request(script, (2,), method, target="dataset", batch_size=(100,), batches=None))
    assert counts(sink.results[0], "stderr") == {(None, "printed"): 4000}
    assert {line for line in sink.output.splitlines() if "printed" in line} == {"printed"}


KILLED = """
    import os, signal, warnings
    from torch.utils.data import Dataset

    class Deadly(Dataset):
        def __len__(self):
            return 40
        def __getitem__(self, index):
            warnings.warn("before the end")
            if index == 9:
                os.write(2, b"last words\\n")
                os.kill(os.getpid(), signal.SIGKILL)
            return index

    warnings.simplefilter("always")
    dataset = Deadly()
"""


def test_a_worker_that_is_killed_loses_none(tmp_path):
    (result,) = speak(tmp_path, 1, "fork", KILLED).results
    assert result.status == "killed"
    assert counts(result, "UserWarning") == {("worker-0", "before the end"): 10}
    assert counts(result, "stderr") == {(None, "last words"): 1}


RAISING = """
    import traceback
    from torch.utils.data import Dataset

    class Raising(Dataset):
        def __len__(self):
            return 40
        def __getitem__(self, index):
            try:
                {}["missing"]
            except KeyError:
                if index == 3:
                    traceback.print_exc()
            if index == 9:
                raise ValueError("of the trial")
            return index

    dataset = Raising()
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_the_error_of_a_trial_is_no_warning_of_it(tmp_path, workers):
    (result,) = speak(tmp_path, workers, "fork", RAISING).results
    assert result.error is not None and result.error.kind == "ValueError"
    (printed,) = result.warnings
    assert printed.text.endswith("KeyError: 'missing'")


TOO_MANY = """
    from torch.utils.data import Dataset

    class Quiet(Dataset):
        def __len__(self):
            return 40
        def __getitem__(self, index):
            return index

    dataset = Quiet()
"""


@needs(
    "'stacklevel' in __import__('inspect').getsource(torch.utils.data.DataLoader.check_worker_number_rationality)",
    "this torch warns from one line: Python shows it once, when the loader is made, before anything is recorded",
)
def test_torchs_own_warning_is_told_and_a_quiet_script_says_nothing_else(tmp_path):
    script = write_script(tmp_path, TOO_MANY)
    usable = len(os.sched_getaffinity(0))
    sink = run_pool(request(script, (1, usable + 2), "fork", target="dataset", batch_size=(4,), force=True))
    assert sink.statuses == ["ok", "ok"]
    few, many = sink.results
    assert few.warnings == []
    assert [(warning.process, warning.kind, warning.count) for warning in many.warnings] == [("main", "UserWarning", 1)]
    assert "suggested max" in many.warnings[0].text


RETRYING = """
    import logging, time
    from torch.utils.data import Dataset

    class Retrying(Dataset):
        def __len__(self):
            return 40
        def __getitem__(self, index):
            while index == 9:
                logging.warning("trying again")
                time.sleep(0.01)
            return index

    dataset = Retrying()
"""


def test_a_trial_that_only_warns_that_it_tries_again_hangs_all_the_same(tmp_path):
    (result,) = speak(tmp_path, 1, "fork", RETRYING, timeout_s=2.0).results
    assert result.status == "timeout"
    assert "in __getitem__" in result.error.traceback
    assert counts(result, "WARNING")["worker-0", "trying again"] > 10
    assert not counts(result, "stderr")
