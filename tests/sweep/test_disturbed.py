"""Sweeps beside other programs: disturbed trials are measured again, and the programs are named."""

import subprocess
import sys
import time
import types

import psutil
import pytest
from running import CollectingSink, request, run_pool, until, write_script

from loaderscope.analysis.disturbance import mark_replaced
from loaderscope.analysis.verdict import judge
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.session.recording import Recording
from loaderscope.sweep import pool
from loaderscope.sweep.machine import usable_cpus
from loaderscope.sweep.pool import MAX_VAIN_REPEATS, Pool
from loaderscope.telemetry import other_programs
from loaderscope.telemetry.core_use import CoreUse, ProcessTime

WAITING = """
    import time
    import torch

    class Waiting(torch.utils.data.Dataset):
        def __len__(self):
            return 400
        def __getitem__(self, index):
            time.sleep(0.01)
            return torch.tensor(index)

    data = Waiting()
"""

COMPUTING = """
    import time
    import torch

    class Computing(torch.utils.data.Dataset):
        def __len__(self):
            return 4000
        def __getitem__(self, index):
            end = time.thread_time() + 0.004
            while time.thread_time() < end:
                pass
            return torch.tensor(index)

    data = Computing()
"""

BURN = """
    while True:
        pass
"""


class MadeUpCores:
    """Stands for the cores. In each trial others take as many as `others_cores` says next, the last number for all further trials."""

    others_cores: list[float]

    def __init__(self) -> None:
        self._others = self.others_cores.pop(0) if len(self.others_cores) > 1 else self.others_cores[0]

    def read(self, named) -> CoreUse:
        now_ns = time.perf_counter_ns()
        lost_s = self._others * now_ns / 1e9
        return CoreUse(now_ns, lost_s + time.process_time(), None, 0.0, frozenset(), {"main": lost_s})

    def processes(self) -> dict:
        return {(5_000_000, 0): ProcessTime("burner", 0, self._others * time.perf_counter())}

    def heat_throttles(self) -> None:
        return None


@pytest.fixture
def beside(monkeypatch):
    def set_others(*cores: float) -> None:
        MadeUpCores.others_cores = list(cores)
        monkeypatch.setattr(other_programs, "Cores", MadeUpCores)

    return set_others


def asked(folder, workers=(0,), **options):
    options = {"repeat_disturbed": 2, "target": "data", "batch_size": (1,), "batches": 50, **options}
    return request(write_script(folder, WAITING), workers, **options)


def replacements(sink: CollectingSink) -> dict[int, int | None]:
    return {result.id: result.replaced_by for result in mark_replaced(sink.results)}


def test_a_disturbed_trial_is_measured_again_after_all_others(tmp_path, beside):
    beside(1.0, 0.0)
    sink = run_pool(asked(tmp_path, (0, 1)))
    assert [(result.id, result.config.num_workers, result.replaces) for result in sink.results] == [(0, 0, None), (1, 1, None), (2, 0, 0)]
    assert replacements(sink) == {0: 2, 1: None, 2: None}
    assert "burner" in sink.output
    verdict = judge(sink.run, sink.results)
    assert [setting.trials for setting in verdict.settings] == [[1], [2]]
    assert sink.progressed[-1][:2] == (3, 3)


def test_a_trial_that_failed_is_not_measured_again(tmp_path, beside):
    beside(1.0)
    failing = """
        import time
        from torch.utils.data import Dataset

        class Failing(Dataset):
            def __len__(self):
                return 10_000
            def __getitem__(self, index):
                if index == 3000:
                    time.sleep(1)
                    raise OSError("gone")
                return index

        data = Failing()
    """
    sink = run_pool(request(write_script(tmp_path, failing), (0,), batches=None, target="data", repeat_disturbed=2))
    assert [(result.status, result.is_disturbed) for result in sink.results] == [("failed", True)]


@pytest.mark.slow
def test_a_trial_is_measured_again_at_most_twice(tmp_path, beside):
    beside(1.0, 0.8, 0.9)
    assert replacements(run_pool(asked(tmp_path))) == {0: 1, 1: None, 2: 1}


@pytest.mark.slow
def test_a_machine_that_stays_busy_ends_the_repeats(tmp_path, beside):
    beside(1.0)
    sink = run_pool(asked(tmp_path, repeats=MAX_VAIN_REPEATS + 1))
    assert len(sink.results) == 2 * MAX_VAIN_REPEATS + 1
    assert any(finding.code == "disturbed" for finding in judge(sink.run, sink.results).findings)


def test_the_user_may_forbid_repeats(tmp_path, beside):
    beside(1.0)
    assert len(run_pool(asked(tmp_path, repeat_disturbed=0)).results) == 1


def test_no_trial_is_measured_again_beyond_the_budget(tmp_path, beside, monkeypatch):
    beside(1.0)
    sink = CollectingSink()
    clock = types.SimpleNamespace(monotonic=lambda: 99.9 if sink.results else 0.0, perf_counter_ns=time.perf_counter_ns)
    monkeypatch.setattr(pool, "time", clock)
    run_pool(asked(tmp_path, max_seconds=100.0), sink)
    assert len(sink.results) == 1
    assert any("--max-seconds" in line.text for line in sink.log)


def test_a_session_says_the_same_as_the_sweep(tmp_path, beside):
    beside(1.0, 0.0)
    sink, path = CollectingSink(), tmp_path / "out.loaderscope"
    recording = Recording(lambda: SessionWriter(path), sink, is_required=True)
    Pool(asked(tmp_path), recording).run()
    recording.close()
    session = SessionFile.open(path)
    assert [result.replaced_by for result in session.results] == [1, None]
    trials = session.document()["trials"]
    assert [(trial["replaces"], trial["replaced_by"]) for trial in trials] == [(None, 1), (0, None)]
    assert trials[0]["disturbance"]["programs"][0]["name"] == "burner"
    assert [planned.replaces for planned in session.run.plan] == [None, 0]
    assert session.document()["results"][0]["trials"] == [1]
    session.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a busy test machine may hide it")
def test_programs_that_burn_the_cores_beside_a_sweep_are_named_and_its_own_are_not(tmp_path):
    script = write_script(tmp_path, BURN, "burn_the_cores.py")
    burners = [subprocess.Popen([sys.executable, str(script)]) for _ in range(usable_cpus())]
    try:
        assert until(lambda: all(psutil.Process(one.pid).cpu_times().user > 0.1 for one in burners), 60)
        sweep = request(write_script(tmp_path, COMPUTING, "computing.py"), (0, 2), batches=100, batch_size=(2,), target="data")
        sink = run_pool(sweep)
    finally:
        for one in burners:
            one.kill()
            one.wait()
    (finding,) = [finding for finding in judge(sink.run, sink.results).findings if finding.code == "disturbed"]
    names = [program.name for program in finding.evidence["programs"]]
    assert any("burn_the_cores.py" in name for name in names)
    assert "burn_the_cores.py" in finding.message or len(names) > 3  # a sentence has room for three
    assert not any("computing.py" in name for name in names)
    assert all(result.disturbed_share > 0.05 for result in sink.results)
