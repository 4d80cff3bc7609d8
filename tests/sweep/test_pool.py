"""Whole sweeps over small scripts: real agents, real workers."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest
from agent_interpreter import needs_in_order
from running import CollectingSink, nothing_left_of, request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer, TrialConfig, TrialOrder, TrialOutcome
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.analysis.trial import TrialEnd
from loaderscope.sweep.inspect_script import inspect_script
from loaderscope.sweep.kept_agent import may_be_kept
from loaderscope.sweep.pool import Pool, SweepError
from loaderscope.sweep.processes import temporary_folders
from loaderscope.sweep.target_choice import choose_target

WAITING = """
import time
import torch
from torch.utils.data import Dataset
late_s = 0.0  # a busy machine wakes us late: the next wait is shorter by that, so that the mean is known
class Waiting(Dataset):
    def __len__(self):
        return 4000
    def __getitem__(self, index):
        global late_s
        began = time.perf_counter()
        time.sleep(max(0.0, 0.015 - late_s))
        late_s += time.perf_counter() - began - 0.015
        return torch.tensor(index)
dataset = Waiting()
"""

PLAIN = """
import os
import torch
from torch.utils.data import Dataset
print("loaded in", os.getpid())
class Plain(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        return torch.tensor(index)
dataset = Plain()
"""


FORK_SERVER = """
import multiprocessing
multiprocessing.set_start_method("forkserver", force=True)  # as in Python 3.14, where it is the default
import torch
from torch.utils.data import DataLoader, Dataset
class Plain(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        return torch.tensor(index)
dataset = Plain()
def make_loader():
    return DataLoader(dataset, 16, num_workers=2)
if __name__ == "__main__":
    for batch in make_loader():
        pass
"""


@pytest.fixture(autouse=True)
def nothing_stays():
    yield
    assert nothing_left_of(os.getpid())


def agents_of(sink: CollectingSink) -> list[int]:
    """The pid of main in each trial."""
    return [next(p.pid for p in sink.traces[i].processes if p.name == "main") for i in sorted(sink.traces)]


def test_a_sweep_tells_everything_in_order(tmp_path):
    script = write_script(tmp_path, PLAIN)
    grown = []
    sink = CollectingSink()
    sink.on_grew = lambda trial, trace: grown.append((trial.id, trace.version))
    run_pool(request(script, (0, 1), probe=True, batch_size=(8,)), sink)
    assert sink.run.target.name == "dataset"
    assert sink.run.target.length == 64
    assert sink.run.sample["type"] == "Tensor"
    assert sink.run.environment["usable_cpus"] >= 1
    assert [trial.id for trial in sink.started] == [0, 1]
    assert sink.statuses == ["ok", "ok"]
    assert [(result.batches, result.samples) for result in sink.results] == [(4, 32), (4, 32)]
    assert {trial for trial, _ in grown} <= {0, 1}
    assert sink.progressed[0][2] is None
    assert sink.progressed[-1] == (2, 2, 0.0)
    assert "loaded in" in sink.output
    trace = sink.traces[1]
    assert {process.name for process in trace.processes} == {"main", "worker-0"}
    assert "gpu" in trace.unavailable or any(key.startswith("gpu-0/") for key in trace.series)
    assert all(result.own_cost.app_cpu_share is not None for result in sink.results)


def test_a_forced_trial_without_an_accelerator_pins_nothing_and_a_note_says_so(tmp_path):
    sink = run_pool(request(write_script(tmp_path, PLAIN), (1,), batch_size=(8,), pin_memory=(True, False), force=True))
    if sink.run.environment["accelerator"] is not False:
        pytest.skip("this torch may have an accelerator")
    pinned, plain = sorted(sink.results, key=lambda result: not result.config.pin_memory)
    assert (pinned.status, pinned.config.pin_memory, pinned.pinned) == ("ok", True, False)
    assert [note for note in pinned.notes if "Nothing was pinned" in note]
    assert not [note for note in plain.notes if "pinned" in note]
    assert any("no accelerator" in warning.text for warning in pinned.warnings)  # torch's own


def test_waiting_gives_the_throughput_that_follows(tmp_path):
    """A process gives a batch of 4 each time it has fetched one, which takes 4 waits of 15 ms at least; waiting is all that main does."""
    script = write_script(tmp_path, WAITING)
    sink = run_pool(request(script, (0, 1, 2), batches=24, batch_size=(4,)))
    for result, processes in zip(sink.results, (1, 1, 2), strict=True):
        rate = result.samples_per_second.value
        assert rate < processes * 4 / 0.060 * 1.05
        assert rate == pytest.approx(processes * 4 / result.signs.fetch_s, rel=0.12)
    for result in sink.results:
        assert result.wait_share > 0.95
        shares = [result.wait_share, result.transfer_share, result.step_share, result.other_share]
        assert sum(shares) == pytest.approx(1, abs=1e-6)
        assert 0 < result.own_cost.app_cpu_share < 1


def test_a_simulated_step_takes_the_share_that_follows(tmp_path):
    """Alone: 60 ms of waiting and 40 ms of step. With two workers 30 ms of loading hide behind the 40 ms of step."""
    script = write_script(tmp_path, WAITING)
    sink = run_pool(request(script, (0, 2), batches=24, batch_size=(4,), consumer=Consumer("sleep", 40.0)))
    alone, hidden = sink.results
    assert alone.step_share == pytest.approx(40 / 100, abs=0.08)
    assert alone.wait_share == pytest.approx(60 / 100, abs=0.08)
    assert hidden.samples_per_second.value / alone.samples_per_second.value == pytest.approx(100 / 40, rel=0.2)
    assert hidden.step_share > 0.85
    assert "step" in sink.traces[0].lanes
    assert sink.traces[0].lanes["step"].label == "simulated step"


def spans_of_main(trace, state):
    return spans_of(trace, "main", state).batch.tolist()


@needs_in_order
def test_a_step_is_told_with_the_batch_that_it_took_even_out_of_order(tmp_path):
    slow_first = WAITING.replace("time.sleep(", "time.sleep(0.4 if index == 0 else ")
    script = write_script(tmp_path, slow_first)
    sink = run_pool(request(script, (2,), batches=8, batch_size=(1,), in_order=(False,), consumer=Consumer("sleep", 1.0)))
    handed_out = [batch for batch in spans_of_main(sink.traces[0], State.WAIT) if batch >= 0]
    assert handed_out != sorted(handed_out)
    assert spans_of_main(sink.traces[0], State.STEP) == handed_out


LAZY = """
import os
import torch
from torch.utils.data import Dataset
class Lazy(Dataset):
    def __init__(self):
        self.file = None
    def __len__(self):
        return 64
    def __getitem__(self, index):
        if self.file is None:
            self.file = open(__file__, "rb")
        self.file.seek(0)
        return torch.tensor(len(self.file.read(index + 1)))
dataset = Lazy()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "probe"), [((0, 1), False), ((1, 0), True)])
def test_a_lazily_opened_file_gives_the_same_in_any_order(tmp_path, workers, probe):
    """After 0 workers, or the probe, the dataset of that agent holds an open file, which spawn cannot pickle: it needs a fresh one."""
    sink = run_pool(request(write_script(tmp_path, LAZY), workers, "spawn", batch_size=(8,), probe=probe))
    assert {(result.config.num_workers, result.status) for result in sink.results} == {(0, "ok"), (1, "ok")}


def test_an_agent_is_kept_only_after_trials_in_worker_processes(tmp_path):
    script = write_script(tmp_path, PLAIN)
    sink = run_pool(request(script, (1, 2), batch_size=(8,), repeats=2))
    assert len(set(agents_of(sink))) == 1
    assert [result.repeat for result in sink.results] == [0, 0, 1, 1]  # repeats of different settings are interleaved
    zero, one, two = agents_of(run_pool(request(script, (0, 1, 2), batch_size=(8,))))
    assert zero != one
    assert one == two


def test_isolated_trials_get_an_agent_each(tmp_path):
    agents = agents_of(run_pool(request(write_script(tmp_path, PLAIN), (1, 2), batch_size=(8,), isolate=True)))
    assert len(set(agents)) == 2


ORDER = TrialOrder(0, "", TrialConfig(1, start_method="fork", backend="process", pin_memory=False))
END = TrialEnd("ok", None, TrialOutcome(1.0, 4, 32, [4], False, False, "same"), 1.0, 0.0)


def _with(value, **changes):
    return dataclasses.replace(value, **changes)


def test_an_agent_is_kept_after_a_plain_worker_trial():
    assert may_be_kept(False, ORDER, END, "same")


@pytest.mark.parametrize(
    ("order", "end"),
    [
        (_with(ORDER, config=TrialConfig(0)), END),
        (_with(ORDER, config=TrialConfig(1, start_method="forkserver", backend="process")), END),
        (_with(ORDER, config=TrialConfig(1, backend="thread")), END),
        (_with(ORDER, consumer=Consumer("script")), END),
        (_with(ORDER, device="cuda"), END),
        (ORDER, _with(END, status="failed")),
        (ORDER, _with(END, outcome=_with(END.outcome, ran_user_code=True))),
        (ORDER, _with(END, outcome=_with(END.outcome, fingerprint="other"))),
    ],
    ids=["0 workers", "forkserver", "threads", "script step", "device", "failed", "user code", "changed dataset"],
)
def test_an_agent_is_not_kept_where_it_could_matter(order, end):
    assert not may_be_kept(False, order, end, "same")


def test_cancelling_keeps_what_is_finished(tmp_path):
    script = write_script(tmp_path, WAITING)
    sink = CollectingSink()
    pool = Pool(request(script, (1, 2), batches=None, batch_size=(10,)), sink)
    sink.on_grew = lambda trial, trace: pool.cancel()
    pool.run()
    assert sink.finished == [True]
    assert sink.statuses == ["cancelled"]
    assert sink.results[0].error is None


def test_a_sweep_that_is_cancelled_before_it_begins_starts_no_trial(tmp_path):
    sink = CollectingSink()
    pool = Pool(request(write_script(tmp_path, WAITING)), sink)
    pool.cancel()
    pool.run()
    assert (sink.finished, sink.started) == ([True], [])


def test_a_budget_ends_the_sweep_and_says_so(tmp_path):
    script = write_script(tmp_path, WAITING)
    sink = CollectingSink()
    pool = Pool(request(script, (0, 1), batches=None, batch_size=(10,), max_seconds=500.0), sink)

    def long_ago(trial, trace):
        pool._began_s -= 500.0

    sink.on_grew = long_ago
    pool.run()
    assert sink.statuses == ["cancelled", "skipped"]
    assert [result.error.kind for result in sink.results] == ["limit", "limit"]
    assert "--max-seconds" in sink.results[0].error.message


def test_the_run_leaves_no_folder_and_clears_those_of_crashed_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    crashed = "import os; from loaderscope.sweep.processes.temporary_folders import create_folder; create_folder(); os._exit(1)"
    assert subprocess.run([sys.executable, "-c", crashed], check=False, env={**os.environ, "TMPDIR": str(tmp_path)}).returncode == 1
    (tmp_path / "loaderscope-run-of-someone-else").mkdir()
    assert len(list(tmp_path.glob(temporary_folders.PREFIX + "*"))) == 2
    run_pool(request(write_script(tmp_path / "code", PLAIN), (1,), batch_size=(8,)))
    assert [path.name for path in tmp_path.glob(temporary_folders.PREFIX + "*")] == ["loaderscope-run-of-someone-else"]


def test_logs_do_not_go_to_shared_memory(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/dev/shm/tmp")
    assert not temporary_folders.base_folder().is_relative_to("/dev/shm")


def test_a_loader_is_taken_before_its_dataset_and_the_main_block(tmp_path):
    text = PLAIN + "\nfrom torch.utils.data import DataLoader\nloader = DataLoader(dataset)\n"
    text += "if __name__ == '__main__':\n    list(DataLoader(dataset))\n"
    inspection = inspect_script(request(write_script(tmp_path, text)))
    assert {target.kind for target in inspection.targets} == {"loader", "dataset", "captured"}
    assert choose_target(inspection.targets, None, {}, "script.py").name == "loader"


@pytest.mark.parametrize(
    ("text", "target", "words"),
    [
        (PLAIN, "nowhere", "nowhere"),
        (PLAIN + "\nother = Plain()\n", None, "--target"),
        ("x = 1\n", None, "script.py"),
        ("import torch\nfrom torch.utils.data import TensorDataset\nempty = TensorDataset(torch.zeros(0, 2))\n", None, "empty"),
    ],
    ids=["unknown target", "several targets", "no target", "empty dataset"],
)
def test_a_wrong_request_is_one_sentence(tmp_path, text, target, words):
    sink = CollectingSink()
    with pytest.raises(SweepError, match=words) as caught:
        Pool(request(write_script(tmp_path, text), target=target), sink).run()
    assert "\n" not in str(caught.value)
    assert sink.finished == [False]
    assert sink.started == []


def test_a_missing_script_is_one_sentence(tmp_path):
    with pytest.raises(SweepError, match=r"absent\.py"):
        Pool(request(tmp_path / "absent.py"), CollectingSink()).run()


NEEDED = ("torch", "torchgen", "functorch", "numpy", "typing_extensions", "sympy", "mpmath", "filelock", "jinja2", "markupsafe")
NEEDED += ("networkx", "fsspec")


@pytest.fixture(scope="module")
def other_python(tmp_path_factory) -> pathlib.Path:
    """A virtual environment that has torch and nothing of ours: no loaderscope, no Qt, no psutil."""
    torch = pytest.importorskip("torch")
    installed = pathlib.Path(torch.__file__).parent.parent
    folder = tmp_path_factory.mktemp("other")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    asked = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, check=True, text=True
    )
    packages = pathlib.Path(asked.stdout.strip())
    for path in installed.iterdir():
        name = path.name.split(".")[0].split("-")[0]
        if name in NEEDED or (name.startswith(("torch", "numpy")) and path.name.endswith((".dist-info", ".libs"))):
            try:
                (packages / path.name).symlink_to(path)
            except OSError:
                pytest.skip("this system does not let us make links")
    return python


def test_the_agent_runs_under_an_interpreter_that_has_only_torch(tmp_path, other_python):
    names = ("loaderscope", "PySide6", "psutil", "pynvml")
    found = f"import importlib.util as u, torch; print([name for name in {names} if u.find_spec(name)])"
    there = subprocess.run([other_python, "-c", found], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == "[]"
    script = write_script(tmp_path, PLAIN + "\nimport sys\nprint('prefix', sys.prefix)\n")
    sink = run_pool(request(script, (0, 1), ("spawn", "fork"), batch_size=(8,), python=str(other_python), probe=True))
    assert sink.statuses == ["ok"] * 3
    assert f"prefix {other_python.parent.parent}" in sink.output


IN_MAIN = """
import torch
from torch.utils.data import DataLoader, TensorDataset
def main():
    for batch in DataLoader(TensorDataset(torch.arange(24)), batch_size=4):
        raise SystemExit("the training must not run")
if __name__ == "__main__":
    main()
"""


def test_the_memory_of_a_trial_of_milliseconds_is_known(tmp_path):
    (result,) = run_pool(request(write_script(tmp_path, PLAIN), (0,), batch_size=(8,))).results
    assert result.memory.peak_total_bytes > 1e7


@pytest.mark.parametrize("probe", [True, False])
def test_a_loader_in_main_is_found_without_being_named(tmp_path, probe):
    script = write_script(tmp_path, IN_MAIN)
    sink = run_pool(request(script, (1,), probe=probe))
    assert sink.run.target.name == "captured:0"
    assert sink.run.target.length == 24
    assert sink.statuses == ["ok"]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork server here")
@pytest.mark.parametrize("target", ["dataset", "make_loader", "captured:0"])
def test_a_script_s_own_start_method_is_the_default(tmp_path, target):
    sink = run_pool(request(write_script(tmp_path, FORK_SERVER), (2,), None, batch_size=(16,), target=target))
    assert (sink.run.environment["default_start_method"], sink.statuses) == ("forkserver", ["ok"])
    (result,) = sink.results
    assert (result.config.start_method, result.samples) == ("forkserver", 64)
    assert "server_start" in {row.phase for row in result.startup.phases}
    assert result.startup.explained_share > 0.95
