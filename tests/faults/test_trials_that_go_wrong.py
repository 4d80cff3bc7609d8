"""Trials that fail, hang or are killed become rows with a status and a reason, and the sweep goes on."""

import os
import re
import signal
import sys
import tempfile

import pytest
from running import CollectingSink, nothing_left_of, own_zombies, request, run_pool, write_script

from loaderscope.agent.error_sentences import DISK, KILLED
from loaderscope.sweep.pool import Pool, SweepError

HEAD = """
import os, signal, sys, time
import torch
from torch.utils.data import Dataset, get_worker_info
"""


def dataset(body: str, length: int = 64) -> str:
    lines = "\n".join("        " + line for line in body.strip().splitlines())
    return f"""{HEAD}
class Data(Dataset):
    def __len__(self):
        return {length}
    def __getitem__(self, index):
{lines}
        return torch.tensor(index)
dataset = Data()
"""


@pytest.fixture(autouse=True)
def nothing_stays():
    before = own_zombies()
    yield
    assert nothing_left_of(os.getpid())
    assert set(own_zombies()) <= set(before)


IN_ONE_WORKER = "time.sleep(0.001)\nworker = get_worker_info()\nif worker is not None and worker.num_workers == 1 and index == 17:\n    "


def test_a_dataset_that_raises_fails_its_trials_with_the_line(tmp_path):
    script = write_script(tmp_path, dataset("if index == 17:\n    raise ValueError('sample 17 is broken')"))
    sink = run_pool(request(script, (0, 1), batch_size=(8,)))
    line = next(number for number, text in enumerate(script.read_text().splitlines(), 1) if "raise ValueError" in text)
    for result in sink.results:
        assert result.status == "failed"
        assert result.error.kind == "ValueError"
        assert "sample 17 is broken" in result.error.message
        assert result.error.line == line
        assert "Traceback" in result.error.traceback
        assert result.batches == 2  # those before it


@pytest.mark.parametrize("at_fault", ["sample", "collate"])
def test_a_first_batch_that_raises_without_workers_leaves_a_row_with_nothing_but_its_error_and_phases(tmp_path, at_fault):
    body = "raise ValueError('no sample')" if at_fault == "sample" else "return torch.zeros(index % 3 + 1)"
    sink = run_pool(request(write_script(tmp_path, dataset(body)), (0,), batch_size=(8,)))
    (result,) = sink.results
    assert (result.status, result.error.kind) == ("failed", "ValueError" if at_fault == "sample" else "RuntimeError")
    assert result.notes == []  # of a fault of the analysis one would tell
    assert (result.batches, result.first_batch_s, result.startup.culprit) == (0, None, None)
    assert "first_fetch" in {phase.phase for phase in result.startup.phases}
    assert all(line.stream != "loaderscope" for line in sink.log)


def test_a_killed_worker_is_told_with_its_last_words_and_the_sweep_goes_on(tmp_path):
    script = write_script(tmp_path, dataset(IN_ONE_WORKER + "os.kill(os.getpid(), signal.SIGKILL)"))
    sink = run_pool(request(script, (1, 2), batch_size=(8,)))
    killed, fine = sink.results
    assert (killed.status, fine.status) == ("killed", "ok")
    assert (killed.error.kind, killed.error.cause) == ("worker-died", KILLED)
    assert killed.error.message.endswith("; it was fetching batch 2, sample 17.")
    assert re.search(r"worker-0 \(pid \d+\): fetching batch 2, sample 17", killed.error.traceback)
    assert len(sink.traces[killed.id].tracks) > 2  # what it had recorded is there


def test_a_worker_that_cannot_import_the_script_is_told_with_its_exception(tmp_path):
    text = "import multiprocessing\nmultiprocessing.set_start_method('spawn')\n" + dataset("pass")
    (killed,) = run_pool(request(write_script(tmp_path, text), (1,), "spawn", batch_size=(8,))).results
    assert (killed.status, killed.error.kind) == ("killed", "worker-died")
    assert "RuntimeError: context has already been set" in killed.error.message


def test_a_hang_ends_after_the_timeout_with_the_stack_of_every_process(tmp_path):
    script = write_script(tmp_path, dataset(IN_ONE_WORKER + "time.sleep(600)  # the line that hangs"))
    sink = run_pool(request(script, (1, 2), batch_size=(8,), timeout_s=2.0))
    hung, fine = sink.results
    assert (hung.status, fine.status) == ("timeout", "ok")
    assert hung.error.kind == "hung"
    assert re.search(r"worker-0 \(pid \d+\) was fetching batch 2, sample 17", hung.error.message)
    line = next(number for number, text in enumerate(script.read_text().splitlines(), 1) if "the line that hangs" in text)
    assert f'script.py", line {line} in __getitem__' in hung.error.traceback
    assert "_get_data" in hung.error.traceback or "_try_get_data" in hung.error.traceback  # main's stack, too
    silent = re.search(r"sample 17 \(for (\d+\.\d) s\)", hung.error.message)
    assert silent is not None and 2.0 <= float(silent[1]) <= hung.seconds < 600


def test_an_agent_that_is_killed_is_a_killed_trial(tmp_path):
    script = write_script(tmp_path, dataset("time.sleep(0.01)", 4000))
    sink = CollectingSink()

    def kill_once(trial, trace):
        main = [process for process in trace.processes if process.name == "main"]
        workers = [process for process in trace.processes if process.name == "worker-0"]
        if trial.id == 0 and main and workers:
            sink.on_grew = lambda trial, trace: None
            os.kill(main[0].pid, signal.SIGKILL)

    sink.on_grew = kill_once
    run_pool(request(script, (1, 2), batch_size=(8,)), sink)
    killed, fine = sink.results
    assert (killed.status, fine.status) == ("killed", "ok")
    assert (killed.error.kind, killed.error.cause) == ("agent-died", KILLED)
    assert "SIGKILL" in killed.error.message
    assert "worker-0" in killed.error.traceback


def test_an_agent_that_ends_itself_is_a_killed_trial(tmp_path):
    script = write_script(tmp_path, dataset("print('leaving now', flush=True)\nos._exit(7)"))
    sink = run_pool(request(script, (0,), batch_size=(8,)))
    assert sink.statuses == ["killed"]
    assert "exit status 7" in sink.results[0].error.message
    assert "leaving now" in sink.results[0].error.traceback


def test_output_of_any_size_and_kind_changes_nothing(tmp_path):
    script = write_script(
        tmp_path,
        dataset(
            """
if index == 0:
    for number in range(100):
        sys.stdout.write("z" * 100_000)
    os.write(1, b"\\n\\xff\\xfe caf\\xe9\\n")
    os.write(2, b"to stderr \\x80\\n")
"""
        ),
    )
    sink = run_pool(request(script, (0, 1), batch_size=(8,)))
    assert sink.statuses == ["ok", "ok"]
    assert sum(len(line.text) for line in sink.log) < 3_000_000
    assert "left out" in sink.output
    assert "to stderr \ufffd" in sink.output
    assert {line.trial for line in sink.log} >= {0, 1}


def test_a_path_with_spaces_and_umlauts_is_a_path(tmp_path):
    folder = tmp_path / "Größe mit Leerzeichen é 数据"
    script = write_script(folder, dataset("assert os.getcwd() == os.path.dirname(os.path.abspath(__file__))"), "mein skript ß.py")
    sink = run_pool(request(script, (0, 1), "spawn", batch_size=(8,)))
    assert sink.statuses == ["ok"] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys\nsys.exit(3)\n", "ended itself|exit"),
        ("import torch\ndef broken(:\n", "line 2"),
        ("import torch\nimport not_there_at_all\n", "not_there_at_all"),
        ("import os\nos._exit(4)\n", "exit status 4"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    ],
    ids=["sys.exit", "syntax error", "failing import", "os._exit", "interrupt"],
)
def test_a_script_that_does_not_load_is_one_sentence(tmp_path, text, words):
    sink = CollectingSink()
    with pytest.raises(SweepError, match=words) as caught:
        Pool(request(write_script(tmp_path, text)), sink).run()
    assert "\n" not in str(caught.value)
    assert sink.finished == [False]


def test_an_endless_import_ends_with_the_load_timeout(tmp_path):
    script = write_script(tmp_path, "print('before')\nwhile True:\n    pass\n")
    with pytest.raises(SweepError, match="--load-timeout") as caught:
        Pool(request(script, load_timeout_s=2.0), CollectingSink()).run()
    assert "2 s" in str(caught.value)


def test_a_script_that_stops_loading_between_trials_fails_the_rest_one_by_one(tmp_path):
    marker = tmp_path / "loaded once"
    text = f"import os\nif os.path.exists({str(marker)!r}):\n    raise RuntimeError('only once')\nopen({str(marker)!r}, 'w').close()\n"
    sink = run_pool(request(write_script(tmp_path, text + dataset("pass")), (0, 1), batch_size=(8,)))
    assert sink.statuses == ["ok", "failed"]
    assert "only once" in sink.results[1].error.message


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of file sizes stands for the full disk")
def test_a_full_disk_ends_the_recording_and_not_the_trial(tmp_path):
    """Silence after recording has stopped is no hang, even for longer than the timeout."""
    limit = """
if index == 100:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
if index >= 8000:
    time.sleep(0.02)
"""
    script = write_script(tmp_path, dataset(limit, 8150))
    sink = run_pool(request(script, (0,), batch_size=(1,), batches=None, timeout_s=1.0))
    (result,) = sink.results
    assert (result.status, result.batches) == ("ok", 8150)
    assert result.seconds > 3
    assert any("ecording" in note and "stopped" in note for note in result.notes)
    assert any(tempfile.gettempdir() in note and "TMPDIR" in note for note in result.notes)


def test_a_trial_that_a_full_disk_fails_names_the_folder_of_temporary_files(tmp_path):
    script = write_script(tmp_path, dataset("raise OSError(28, 'No space left on device')"))
    sink = run_pool(request(script, (0, 1), batch_size=(8,)))
    assert [(result.error.kind, result.error.cause) for result in sink.results] == [("limit", DISK)] * 2
    assert all(tempfile.gettempdir() in result.error.message and "TMPDIR" in result.error.message for result in sink.results)


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_grandchildren_of_a_trial_end_with_it(tmp_path):
    pids = tmp_path / "pids"
    script = write_script(
        tmp_path,
        dataset(
            f"""
if index == 0:
    import subprocess
    for environment in (None, {{}}):
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], env=environment, start_new_session=True)
        with open({str(pids)!r}, "a") as file:
            file.write("%d\\n" % child.pid)
"""
        ),
    )
    sink = run_pool(request(script, (0, 1), batch_size=(8,)))
    assert sink.statuses == ["ok", "ok"]
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 4
    assert nothing_left_of(os.getpid(), *started)
