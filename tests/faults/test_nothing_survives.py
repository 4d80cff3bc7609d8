"""No process outlives a killed app, a killed agent or a cancelled sweep, grandchildren included."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest
from running import CollectingSink, is_alive, marked_by, nothing_left_of, own_zombies, request, until, write_script

from loaderscope.sweep.pool import Pool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills by POSIX signals and looks into /proc")

FERTILE = """
import os, subprocess, sys, time
import torch
from torch.utils.data import Dataset
class Fertile(Dataset):
    def __len__(self):
        return 1_000_000
    def __getitem__(self, index):
        if index == 0:
            wait = [sys.executable, "-c", "import signal; signal.pause()"]
            ways = [dict(), dict(start_new_session=True), dict(env={})]
            pids = [subprocess.Popen(wait, **way).pid for way in ways]
            if os.fork() == 0:  # a daemon: a session of its own and no parent
                os.setsid()
                daemon = subprocess.Popen(wait).pid
                with open("daemon.tmp", "w") as file:
                    file.write("%d" % daemon)
                os.rename("daemon.tmp", "daemon")
                os._exit(0)
            with open("pids.tmp", "w") as file:
                file.write(" ".join(map(str, [os.getpid(), os.getppid(), *pids])))
            os.rename("pids.tmp", "pids")
        time.sleep(0.01)
        return torch.tensor(index)
dataset = Fertile()
"""

APP = """
import pathlib, sys
from running import CollectingSink, request
from loaderscope.sweep.pool import Pool
if __name__ == "__main__":
    Pool(request(pathlib.Path(sys.argv[1]), (1,), sys.argv[2], batches=None, batch_size=(8,)), CollectingSink()).run()
"""


def family(folder: pathlib.Path) -> list[int]:
    """The pids of worker, agent, children and daemon, once all are there."""
    assert until(lambda: (folder / "pids").exists() and (folder / "daemon").exists(), 60)
    pids = [int(pid) for name in ("pids", "daemon") for pid in (folder / name).read_text().split()]
    assert all(is_alive(pid) for pid in pids)
    return pids


@pytest.mark.parametrize("start_method", ["fork", "forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_killed_app_leaves_nothing(tmp_path, start_method):
    script = write_script(tmp_path, FERTILE)
    program = write_script(tmp_path / "app", APP, "app.py")
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent.parent)}
    app = subprocess.Popen([sys.executable, str(program), str(script), start_method], env=environment)
    try:
        pids = family(tmp_path)
        assert marked_by(app.pid)
    finally:
        app.kill()
        app.wait()
    assert nothing_left_of(app.pid, *pids)


def test_a_cancelled_sweep_leaves_nothing(tmp_path):
    sink, pids = CollectingSink(), []
    pool = Pool(request(write_script(tmp_path, FERTILE), (1,), batches=None, batch_size=(8,)), sink)
    thread = threading.Thread(target=pool.run)
    thread.start()
    try:
        pids = family(tmp_path)
    finally:
        pool.cancel()
        thread.join(timeout=30)
    assert not thread.is_alive()
    assert sink.finished == [True]
    assert nothing_left_of(os.getpid(), *pids, timeout_s=0.5)
    assert not set(pids) & set(own_zombies())


def test_a_killed_agent_leaves_nothing(tmp_path):
    sink, pids = CollectingSink(), []
    pool = Pool(request(write_script(tmp_path, FERTILE), (1,), batches=None, batch_size=(8,)), sink)
    thread = threading.Thread(target=pool.run)
    thread.start()
    try:
        pids = family(tmp_path)
        os.kill(pids[1], signal.SIGKILL)
        thread.join(timeout=30)
    finally:
        pool.cancel()
        thread.join(timeout=30)
    assert sink.statuses == ["killed"]
    assert nothing_left_of(os.getpid(), *pids, timeout_s=0.5)
    assert not set(pids) & set(own_zombies())


def test_a_killed_app_leaves_no_endless_import(tmp_path):
    """The agent must end although its main thread never leaves the script."""
    script = write_script(tmp_path, "open('pids', 'w').write(str(__import__('os').getpid()))\nwhile True:\n    pass\n")
    program = write_script(tmp_path / "app", APP, "app.py")
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent.parent)}
    app = subprocess.Popen([sys.executable, str(program), str(script), "fork"], env=environment)
    try:
        assert until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text(), 30)
        agent = int((tmp_path / "pids").read_text())
    finally:
        app.kill()
        app.wait()
    assert nothing_left_of(app.pid, agent)
