"""A training that a window records: it goes on and prints on when nobody reads what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import psutil
import pytest
from running import CollectingSink, is_alive, request, until, write_script

from loaderscope.agent import output_relay
from loaderscope.sweep.training_run import TrainingRun

PRINTING = """
    import os
    import sys
    import time
    from torch.utils.data import DataLoader
    print("begin", repr(sys.stdin.read()))
    for _ in DataLoader(range(4)):
        print("warned", file=sys.stderr)
    while not os.path.exists("go on"):
        time.sleep(0.01)
    for number in range(20_000):
        print("a line that nobody reads", number)
    open("done", "w").close()
"""

BREEDING = """
    import subprocess
    import sys
    import time
    from torch.utils.data import DataLoader
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
    print(child.pid)
    list(DataLoader(range(4)))
    time.sleep(300)
"""


def relays():
    """The processes of ours between a script and this process."""
    alive = [process for process in psutil.Process().children() if is_alive(process.pid)]
    return [process for process in alive if output_relay.__file__ in process.cmdline()]


class Training:
    """A training that runs in a thread."""

    def __init__(self, script):
        self.sink = CollectingSink()
        self.run = TrainingRun(request(script), self.sink, in_window=True)
        self.status = "running"
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        self.status = self.run.run()

    def printed(self, text):
        assert until(lambda: any(text in line.text for line in self.sink.log), 30)

    def lines(self, stream):
        return [line.text for line in self.sink.log if line.stream == stream]


def test_lines_are_logged_while_the_script_runs_and_it_goes_on_when_nobody_reads_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training = Training(write_script(tmp_path, PRINTING))
    try:
        training.printed("warned")
        assert training.lines("stdout") == ["begin ''"]
        folder = psutil.Process(training.run.process.pid).environ()["LOADERSCOPE_RECORD"]
    finally:
        training.run.detach()
    training.thread.join(30)
    assert training.status is None
    assert training.lines("stderr") == ["warned"] * 4
    assert [result.loader.exit_status for result in training.sink.results] == [None]
    assert not os.path.exists(folder)
    (tmp_path / "go on").touch()
    assert until((tmp_path / "done").exists, 30)
    training.run.process.wait(30)
    assert until(lambda: not relays(), 30)


def test_the_last_lines_of_a_script_that_fails_are_known(tmp_path):
    training = Training(write_script(tmp_path, "print('so far')\nraise ValueError('no data')\n"))
    training.thread.join(30)
    assert training.status == 1
    assert training.run.last_lines()[-1] == "ValueError: no data"
    assert training.lines("stdout") == ["so far"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes that block")
def test_output_that_nobody_reads_does_not_block_the_script():
    command = [sys.executable, "-I", "-S", output_relay.__file__]
    relay = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    relay.stdin.write(b"x" * 3_000_000)
    relay.stdin.close()
    assert relay.wait(30) == 0
    relay.stdout.close()


def test_output_goes_on_when_its_reader_is_gone():
    command = [sys.executable, "-I", "-S", output_relay.__file__]
    relay = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    relay.stdin.write(b"first")
    relay.stdin.flush()
    assert relay.stdout.read(5) == b"first"
    relay.stdout.close()
    relay.stdin.write(b"x" * 3_000_000)
    relay.stdin.close()
    assert relay.wait(30) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_a_killed_training_leaves_nothing_that_it_started(tmp_path):
    training = Training(write_script(tmp_path, BREEDING))
    assert until(lambda: training.lines("stdout"), 30)
    child = int(training.lines("stdout")[0])
    assert is_alive(child)
    training.run.kill()
    training.thread.join(30)
    assert training.status == -9
    assert until(lambda: not is_alive(child), 30)
    assert not relays()
