"""The agent as a process: its requests, its output, and that nothing outlives it."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from agent_interpreter import AGENT_PYTHON, value_in_agent
from running import is_alive, until

from loaderscope.agent import messages
from loaderscope.agent.messages import ErrorInfo, TrialConfig
from loaderscope.sweep.processes.agent_process import AGENT_DIR

posix = pytest.mark.skipif(sys.platform == "win32", reason="on Windows the app's job object ends the tree")


def dial_in(folder, token="secret"):
    """An agent started by hand, without the app's reaper, and our end of its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        environment = {
            **os.environ,
            messages.ADDRESS_VARIABLE: f"127.0.0.1:{listener.getsockname()[1]}",
            messages.TOKEN_VARIABLE: token,
            messages.MARK_VARIABLE: f"test-{os.getpid()}-{folder.name}",
        }
        process = subprocess.Popen([AGENT_PYTHON, str(AGENT_DIR / "start.py")], env=environment, cwd=folder, stdin=subprocess.DEVNULL)
        connection, _ = listener.accept()
    connection.settimeout(60)
    return process, connection


def marked(folder):
    """Pids of live processes that carry the mark of `dial_in`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(messages.MARK_VARIABLE) == f"test-{os.getpid()}-{folder.name}" and is_alive(process.pid):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def test_it_greets_with_token_and_protocol_and_ends_on_exit(tmp_path):
    process, connection = dial_in(tmp_path)
    with connection, connection.makefile("rb") as lines:
        hello = messages.decode(lines.readline())
        assert (hello["type"], hello["token"], hello["protocol"], hello["pid"]) == ("hello", "secret", messages.PROTOCOL, process.pid)
        connection.sendall(messages.encode({"type": "welcome", "protocol": messages.PROTOCOL}))
        connection.sendall(messages.encode({"type": "clock"}))
        assert messages.decode(lines.readline())["clock_ns"] >= hello["clock_ns"]
        connection.sendall(messages.encode({"type": "exit"}))
        assert process.wait(30) == 0


def test_nonsense_is_answered_or_ends_the_agent(agent, tmp_path):
    assert "no request called sing" in agent.ask("sing").message
    assert "no script is loaded" in agent.ask("attach", target="x").message
    assert "no target is attached" in agent.ask("probe").message
    process, connection = dial_in(tmp_path)
    with connection:
        connection.sendall(b"not json\n")
        assert process.wait(30) != 0


def test_the_clock_is_ours(agent):
    import time

    before = time.perf_counter_ns()
    assert before <= agent.ask("clock")["clock_ns"] <= time.perf_counter_ns()


ENDLESS = """
    import os, subprocess, sys, time
    import multiprocessing
    if __name__ == "__mp_main__" or __name__ == "__main__":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        # a grandchild whose parent ends at once
        subprocess.run([sys.executable, "-c",
            "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)"])
        if hasattr(os, "fork") and os.fork() == 0:
            time.sleep(600)
        open("started", "w").close()
        while True:
            pass
"""


@posix
def test_an_endless_import_and_all_that_it_started_end_with_the_connection(tmp_path, write):
    script = write(ENDLESS)
    process, connection = dial_in(tmp_path)
    with connection:
        connection.sendall(messages.encode({"type": "load", "script": str(script), "args": [], "cwd": str(tmp_path), "capture": None}))
        assert until((tmp_path / "started").exists, 30)
        assert len(marked(tmp_path)) == 5
    process.wait(30)
    assert until(lambda: not marked(tmp_path))


@posix
def test_workers_end_with_the_connection_and_do_not_hold_it_open(tmp_path, write):
    """A forked worker inherits our end; were it left open there, the app would wait for ever after the agent's death."""
    script = write(
        """
        import os, time, torch
        class Slow(torch.utils.data.Dataset):
            def __len__(self):
                return 100
            def __getitem__(self, index):
                open("reached", "w").close()
                time.sleep(600)
        slow = Slow()
        """
    )
    process, connection = dial_in(tmp_path)
    trial = messages.TrialOrder(1, str(tmp_path / "log"), TrialConfig(2, 4, 2, start_method="fork"))
    with connection, connection.makefile("rb") as lines:
        for message in (
            {"type": "load", "script": str(script), "args": [], "cwd": str(tmp_path), "capture": None},
            {"type": "attach", "target": "slow", "arguments": {}},
            {"type": "trial", "trial": trial.to_json()},
        ):
            connection.sendall(messages.encode(message))
        assert until((tmp_path / "reached").exists, 60)
        assert len(marked(tmp_path)) == 3
        os.kill(process.pid, signal.SIGSTOP)  # its watcher cannot act: only the workers are left to close the connection
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        while lines.readline():  # hello and the answers, then the end: reached only if no worker holds it
            pass
    for pid in marked(tmp_path):
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: not marked(tmp_path))


def test_output_of_the_script_is_its_own_and_comes_before_the_answer(agent, write):
    script = write(
        """
        import os, sys
        import torch
        numbers = torch.utils.data.TensorDataset(torch.arange(4))
        print("to stdout")
        print("to stderr", file=sys.stderr)
        sys.stdout.buffer.write(b"\\xff\\xfe not utf-8\\n")
        os.write(1, b"from below\\n")
        """
    )
    assert not isinstance(agent.load(script), ErrorInfo)
    agent.attach("numbers")
    assert agent.trial(TrialConfig(0, 2)).batches == 2
    lines = agent.close()
    assert sorted(line for line in lines if "utf-8" not in line) == ["from below", "to stderr", "to stdout"]
    assert len(lines) == 4


def test_the_environment_of_the_interpreter_is_told(agent, write):
    answer = agent.ask("load", script=str(write("import torch\n")), args=[], cwd=None, capture=None)
    environment = answer["environment"]
    versions = value_in_agent("[sys.version.split()[0], torch.__version__, torch.version.cuda]")
    assert [environment["python"], environment["torch"], environment["torch_cuda"]] == versions
    assert environment["accelerator"] is (False if environment["torch"].endswith("+cpu") else None)
    assert environment["default_start_method"] == environment["start_methods"][0]
    assert isinstance(environment["torch_assumptions"], list)
    assert answer["has_step"] is False
