"""Nothing of a trial stays in the folder for temporary files or in shared memory, however the trial or the program ends."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import psutil
import pytest
from running import is_alive, nothing_left_of, until, write_script

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /dev/shm and kills by POSIX signals")

# At sample 20 its first worker tells the pids of itself and of main, so that whoever is to be killed is known.
SCRIPT = """
    import multiprocessing, os, sys, time
    import torch, torch.multiprocessing
    from torch.utils.data import Dataset, get_worker_info
    torch.multiprocessing.set_sharing_strategy("{strategy}")
    HERE = os.path.dirname(os.path.abspath(__file__))

    class Slow(Dataset):
        def __init__(self, shared):
            self.shared = shared
        def __len__(self):
            return 4000
        def __getitem__(self, index):
            time.sleep(0.002)
            if index == 20:
                with open(os.path.join(HERE, "part"), "w") as file:
                    file.write("%d %d" % (os.getpid(), os.getppid()))
                os.replace(os.path.join(HERE, "part"), os.path.join(HERE, "pids"))
            return torch.full((20_000,), float(self.shared.get(index, index)))

    def with_manager():
        global manager
        manager = multiprocessing.get_context("{manager}").Manager()
        return Slow(manager.dict())

    plain = Slow(dict())
"""

CASES = [
    ("file_system", "fork", "plain", "fork"),
    *(
        pytest.param(case, marks=pytest.mark.slow)
        for case in (
            ("file_descriptor", "fork", "plain", "fork"),
            ("file_system", "fork", "plain", "forkserver"),
            ("file_descriptor", "spawn", "with_manager", "fork"),
        )
    ),
]


def shared_memory() -> set[str]:
    """Blocks of tensors whose maker has ended."""
    makers = {name: re.match(r"torch_(\d+)_", name) for name in os.listdir("/dev/shm")}
    return {name for name, maker in makers.items() if maker is not None and not is_alive(int(maker[1]))}


class Sweep:
    """A sweep of the command line with a folder for temporary files of its own."""

    def __init__(self, folder: pathlib.Path, strategy: str, manager: str, target: str, start_method: str, batches: int = 400) -> None:
        self.folder = folder
        self.temporary = pathlib.Path(tempfile.mkdtemp())  # not in the test's folder: the path of a socket must not be long
        script = write_script(folder, SCRIPT.format(strategy=strategy, manager=manager))
        self.before = shared_memory()
        arguments = ["run", str(script), "--target", target, "--num-workers", "2", "--start-method", start_method, "--no-probe"]
        arguments += ["--repeat-disturbed", "0"]
        arguments += ["--batch-size", "4", "--batches", str(batches), "-o", str(folder / "out.loaderscope")]
        self.app = subprocess.Popen(
            [sys.executable, "-m", "loaderscope", *arguments],
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def pids(self) -> tuple[int, int]:
        """A worker's and its parent's, once batches are on their way."""
        assert until((self.folder / "pids").exists, 60)
        worker, parent = (self.folder / "pids").read_text().split()
        return int(worker), int(parent)

    def left(self) -> list[str]:
        return sorted(os.listdir(self.temporary)) + sorted(shared_memory() - self.before)


@pytest.fixture
def sweep(tmp_path):
    started = []

    def start(*case, **options):
        started.append(Sweep(tmp_path, *case, **options))
        return started[-1]

    yield start
    for one in started:
        one.app.kill()
        one.app.wait()
        shutil.rmtree(one.temporary)


@pytest.mark.parametrize("case", CASES)
def test_a_healthy_run_leaves_nothing(sweep, case):
    running = sweep(*case, batches=30)
    assert running.app.wait(60) == 0
    assert running.left() == []


@pytest.mark.parametrize("case", CASES)
def test_a_stopped_run_leaves_nothing(sweep, case):
    running = sweep(*case)
    running.pids()
    running.app.send_signal(signal.SIGTERM)
    assert running.app.wait(30) == 130
    assert running.left() == []


@pytest.mark.parametrize("victim", ["worker", "parent"])
@pytest.mark.parametrize("case", CASES)
def test_a_killed_process_of_a_trial_leaves_nothing(sweep, case, victim):
    running = sweep(*case)
    worker, parent = running.pids()
    os.kill(worker if victim == "worker" else parent, signal.SIGKILL)
    assert running.app.wait(60) == 1
    assert running.left() == []


@pytest.mark.parametrize("case", CASES)
def test_a_killed_program_leaves_nothing(sweep, case):
    """Its agents clean up after it."""
    running = sweep(*case)
    pids = running.pids()
    running.app.kill()
    running.app.wait()
    assert nothing_left_of(running.app.pid, *pids)
    assert until(lambda: running.left() == [], 10), running.left()


def test_shared_memory_of_others_stays(tmp_path):
    """What a process that is none of the trial's has left, what lives, and what is older stays."""
    from loaderscope.agent import leftovers

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    own, others, old, living = (f"/dev/shm/torch_{pid}_loaderscope_test_{name}" for pid, name in (
        (gone.pid, "own"), (gone.pid + 1_000_000_000, "others"), (gone.pid, "old"), (os.getpid(), "living")))  # fmt: skip
    try:
        for path in (own, others, old, living):
            pathlib.Path(path).write_bytes(b"0")
        os.utime(old, (1, 1))
        leftovers.remove_shared_memory({gone.pid, os.getppid()}, psutil.Process().create_time())
        assert [os.path.exists(path) for path in (own, others, old, living)] == [False, True, True, True]
    finally:
        for path in (own, others, old, living):
            pathlib.Path(path).unlink(missing_ok=True)


# A stand-in for the process that torch starts to look after shared memory. It is long in starting, as on a busy machine,
# and its client ends meanwhile.
STARTS_SLOWLY = """
import os, subprocess, sys, time
from loaderscope.agent import guard
start = "import os, socket, time; time.sleep(0.5); socket.socket(socket.AF_UNIX).bind('manager.sock'); print(flush=True); time.sleep(2)"
manager = subprocess.Popen(["torch_shm_manager", "-c", start], executable=sys.executable, stdout=subprocess.PIPE)
while b"torch_shm_manager" not in guard._read("/proc/%d/cmdline" % manager.pid):
    time.sleep(0.001)
guard.end_with_tree(0, clean_up=lambda killed: open("killed", "w").close() or [])
"""


def test_a_manager_of_shared_memory_that_starts_while_its_client_ends_leaves_nothing(tmp_path):
    subprocess.run([sys.executable, "-c", STARTS_SLOWLY], cwd=tmp_path, timeout=60, check=True)
    assert os.listdir(tmp_path) == ["killed"]
    assert until(lambda: not [p for p in psutil.process_iter() if p.name() == "torch_shm_manager"], 10)
