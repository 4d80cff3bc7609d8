"""Nothing of an agent stays, whatever its processes do to get away."""

import os
import subprocess
import sys

import pytest
from running import is_alive, nothing_left_of, own_zombies, until

from loaderscope.agent.messages import MARK_VARIABLE
from loaderscope.sweep.processes import reaper
from loaderscope.sweep.processes.reaper import create_reaper, new_mark, owner_is_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the ways to get away are Linux ones")

FAMILY = """
import os, subprocess, sys
def report(pid):
    with open(sys.argv[1], "a") as file:
        file.write("%d\\n" % pid)
report(os.getpid())
wait = "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
wait += "open(%r, 'a').write('%%d\\\\n' %% os.getpid()); signal.pause()" % sys.argv[1]
how = sys.argv[2]
if how == "child":
    subprocess.Popen([sys.executable, "-c", wait])
elif how == "daemon":  # a session of its own and no parent
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", wait])
        os._exit(0)
elif how == "orphan without environment":
    if os.fork() == 0:
        if os.fork() == 0:
            os.execve(sys.executable, [sys.executable, "-c", wait], {})
        os._exit(0)
elif how == "session without environment":
    subprocess.Popen([sys.executable, "-c", wait], env={}, start_new_session=True)
import signal
signal.pause()
"""


def _start(agent_reaper, pids_file, how):
    environment = {**os.environ, MARK_VARIABLE: agent_reaper.mark}
    command = [sys.executable, "-c", FAMILY, str(pids_file), how]
    process = subprocess.Popen(command, env=environment, **agent_reaper.popen_options())
    agent_reaper.adopt(process)
    assert until(lambda: pids_file.exists() and len(pids_file.read_text().split()) == 2)
    return process, [int(pid) for pid in pids_file.read_text().split()]


@pytest.fixture
def agent_reaper():
    made = create_reaper()
    yield made
    made.kill()
    made.close()


WAYS = ["child", "daemon", "orphan without environment", "session without environment"]


@pytest.mark.parametrize("how", WAYS)
def test_a_family_is_killed_with_its_agent(agent_reaper, tmp_path, how):
    before = own_zombies()
    process, pids = _start(agent_reaper, tmp_path / "pids", how)
    assert agent_reaper.kill() == 2
    assert nothing_left_of(os.getpid(), *pids, timeout_s=0.5)
    assert process.poll() == -9
    assert set(own_zombies()) <= set(before)


@pytest.mark.parametrize("how", WAYS)
def test_a_family_is_killed_after_its_agent_was(agent_reaper, tmp_path, how):
    before = own_zombies()
    process, pids = _start(agent_reaper, tmp_path / "pids", how)
    agent_reaper.observe()
    process.kill()
    process.wait()
    agent_reaper.kill()
    assert nothing_left_of(os.getpid(), *pids, timeout_s=0.5)
    assert set(own_zombies()) <= set(before)


def test_other_children_of_the_app_are_left_alone(agent_reaper, tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as bystander:
        _start(agent_reaper, tmp_path / "pids", "child")
        agent_reaper.kill()
        assert is_alive(bystander.pid)
        bystander.stdin.close()
        assert bystander.wait(timeout=10) == 1  # its own status, not taken by us
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    assert until(lambda: ended.pid in own_zombies())
    agent_reaper.kill()
    assert ended.wait(timeout=10) == 7


def test_what_a_crashed_app_left_is_found_by_its_mark():
    gone = subprocess.run(
        [sys.executable, "-c", "from loaderscope.sweep.processes.reaper import new_mark; print(new_mark())"],
        capture_output=True,
        check=True,
    )
    mark = gone.stdout.decode().strip()
    assert owner_is_gone(mark)
    assert not owner_is_gone(new_mark())
    assert not owner_is_gone("someone else's")
    ours = {**os.environ, MARK_VARIABLE: new_mark()}
    theirs = {**os.environ, MARK_VARIABLE: mark}
    command = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, env=ours) as kept,
        subprocess.Popen(command, stdin=subprocess.PIPE, env=theirs) as leftover,
    ):
        assert until(lambda: reaper.kill_leftovers() >= 1)
        assert leftover.wait(timeout=10) == -9
        assert is_alive(kept.pid)
        kept.kill()


def test_a_mark_survives_a_pid_that_was_given_again():
    pid, created, secret = new_mark().split(":")
    assert owner_is_gone(f"{pid}:{float(created) - 3600:.2f}:{secret}")
