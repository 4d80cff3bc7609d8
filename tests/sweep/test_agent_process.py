"""Agents that behave and agents that do not, played by small scripts in place of the real one."""

import os
import pathlib
import sys
import textwrap
import tracemalloc

import pytest
from running import nothing_left_of, write_script

from loaderscope.agent import messages
from loaderscope.agent.error_sentences import KILLED
from loaderscope.facts.request import Request
from loaderscope.sweep.processes import agent_process
from loaderscope.sweep.processes.agent_environment import clean_environment
from loaderscope.sweep.processes.agent_process import (
    AgentDiedError,
    AgentProcess,
    AgentProtocolError,
    AgentStartError,
    AgentTimeoutError,
)
from loaderscope.sweep.ready_agent import SweepError, load

PRELUDE = """
import json, os, socket, sys, time
def dial():
    host, port = os.environ["LOADERSCOPE_ADDRESS"].split(":")
    return socket.create_connection((host, int(port)))
def send(connection, **message):
    connection.sendall(json.dumps(message).encode() + b"\\n")
def greet(protocol=1, token=None, pid=None):
    connection = dial()
    send(connection, type="hello", token=token or os.environ["LOADERSCOPE_TOKEN"], protocol=protocol, pid=pid or os.getpid())
    return connection
def serve(connection, answer):
    for line in connection.makefile():
        message = json.loads(line)
        if message["type"] == "clock":
            send(connection, type="clock", clock_ns=time.perf_counter_ns())
        elif message["type"] == "exit":
            sys.exit()
        elif message["type"] != "welcome":
            answer(message)
"""


@pytest.fixture
def play(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Starts an agent whose program is the given text; all are closed at the end."""
    agents: list[AgentProcess] = []

    def start(text: str, **options) -> AgentProcess:
        write_script(tmp_path, PRELUDE + textwrap.dedent(text), "start.py")
        monkeypatch.setattr(agent_process, "AGENT_DIR", tmp_path)
        agents.append(AgentProcess(sys.executable, str(tmp_path), **options))
        return agents[-1]

    yield start
    for agent in agents:
        agent.close(at_once=True)
    assert nothing_left_of(os.getpid())


def test_a_request_is_answered_and_the_clock_is_found_to_be_one(play):
    agent = play("c = greet()\nserve(c, lambda m: send(c, type='loaded', script=m['script']))")
    assert agent.request({"type": "load", "script": "ä.py"}, 10) == {"type": "loaded", "script": "ä.py"}
    assert agent.hello["pid"] == agent.pid
    assert agent.clock.offset_ns == 0
    assert agent.alive
    agent.close()
    assert not agent.alive


def test_a_clock_that_is_another_one_is_measured(play):
    agent = play(
        """
        c = greet()
        for line in c.makefile():
            if json.loads(line)["type"] == "clock":
                send(c, type="clock", clock_ns=time.perf_counter_ns() + 5_000_000_000)
        """
    )
    assert abs(agent.clock.offset_ns - 5_000_000_000) <= agent.clock.error_ns + 1


def test_another_protocol_is_refused(play):
    with pytest.raises(AgentProtocolError, match="protocol 99"):
        play("c = greet(protocol=99)\nc.recv(1)")


def test_whoever_dials_without_the_token_is_hung_up_on(play):
    agent = play(
        """
        silent = dial()
        wrong = greet(token="0" * 64)
        chatter = dial()
        chatter.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
        hung_up = wrong.recv(1) == b"" and chatter.recv(1) == b""
        c = greet()
        serve(c, lambda m: send(c, type="probed", hung_up=hung_up))
        """
    )
    assert agent.request({"type": "probe"}, 10)["hung_up"] is True


def test_a_token_that_no_encoding_has_is_hung_up_on(play):
    agent = play(
        """
        wrong = greet(token="\\ud800")
        hung_up = wrong.recv(1) == b""
        c = greet()
        serve(c, lambda m: send(c, type="probed", hung_up=hung_up))
        """
    )
    assert agent.request({"type": "probe"}, 10)["hung_up"] is True


def test_a_death_is_told_with_signal_and_last_output(play):
    agent = play(
        """
        c = greet()
        def answer(message):
            print("the last thing it said", file=sys.stderr)
            os.kill(os.getpid(), 9)
        serve(c, answer)
        """
    )
    with pytest.raises(AgentDiedError, match="killed by SIGKILL") as caught:
        agent.request({"type": "probe"}, 10)
    assert caught.value.tail == "the last thing it said"
    assert caught.value.cause == KILLED


def test_a_death_before_the_greeting_is_told_with_its_traceback(play):
    with pytest.raises(AgentDiedError, match="exit status 1") as caught:
        play("raise ImportError('no _ctypes')")
    assert "no _ctypes" in caught.value.tail


def test_an_interpreter_that_is_none_is_told():
    with pytest.raises(AgentStartError, match="/nowhere/python"):
        AgentProcess("/nowhere/python")


def test_an_agent_that_never_greets_is_given_up(play):
    with pytest.raises(AgentStartError, match="did not report"):
        play("dial().recv(1)", start_timeout_s=0.5)


def test_an_answer_that_does_not_come_is_a_timeout_and_the_agent_lives(play):
    agent = play("c = greet()\nserve(c, lambda m: None)")
    with pytest.raises(AgentTimeoutError):
        agent.request({"type": "load"}, 0.3)
    assert agent.alive


def test_a_look_that_the_script_never_lets_end_names_its_own_option(play, monkeypatch):
    agent = play("c = greet()\nserve(c, lambda m: None)")
    monkeypatch.setattr(agent_process, "START_TIMEOUT_S", 0.2)
    monkeypatch.setattr(agent_process, "_WHERE_TIMEOUT_S", 0.2)
    with pytest.raises(SweepError) as caught:
        load(agent, Request("train.py", look_s=0.2, load_timeout_s=60.0), looks=True)
    assert "0.2 s (--look)" in str(caught.value) and "--load-timeout" not in str(caught.value)


@pytest.mark.parametrize("answer", ["b'not json\\n'", "b'[1, 2]\\n'", "b'\\xff\\xfe\\n'", "b'{\"type\": 3}\\n'"])
def test_an_answer_that_is_no_message_is_a_protocol_error(play, answer):
    agent = play(f"c = greet()\nserve(c, lambda m: c.sendall({answer}))")
    with pytest.raises(AgentProtocolError):
        agent.request({"type": "load"}, 10)


def test_an_answer_without_end_does_not_fill_the_memory(play, monkeypatch):
    monkeypatch.setattr(messages, "MAX_LINE_BYTES", 1 << 20)
    agent = play("c = greet()\nserve(c, lambda m: c.sendall(b'x' * (4 << 20)))")
    with pytest.raises(AgentProtocolError, match="does not end"):
        agent.request({"type": "load"}, 10)


def test_what_tick_raises_ends_the_wait_at_once(play):
    agent = play("c = greet()\nserve(c, lambda m: None)")
    ticks: list[None] = []

    def tick() -> None:
        ticks.append(None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agent.request({"type": "trial"}, None, tick)
    assert len(ticks) == 1


def test_ten_megabytes_of_output_neither_block_nor_stay_in_memory(play):
    agent = play(
        """
        c = greet()
        def answer(message):
            for number in range(100_000):
                print("x" * 99)
            print("the end")
            send(c, type="loaded")
        serve(c, answer)
        """
    )
    tracemalloc.start()
    assert agent.request({"type": "load"}, 60)["type"] == "loaded"
    agent.close()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    text = [line.text for line in agent.drain_output()]
    assert peak_bytes < 5_000_000
    assert any("MB of output left out" in line for line in text)
    assert agent.output_tail().endswith("the end")


def test_output_without_line_ends_is_cut_and_bounded(play):
    agent = play(
        """
        c = greet()
        def answer(message):
            for number in range(100):
                sys.stdout.write("y" * 100_000)
            sys.stdout.flush()
            send(c, type="loaded")
        serve(c, answer)
        """
    )
    assert agent.request({"type": "load"}, 60)["type"] == "loaded"
    agent.close()
    lines = agent.drain_output()
    assert max(len(line.text) for line in lines) <= 8192
    assert sum(len(line.text) for line in lines) < 1_000_000


def test_output_that_is_no_text_is_shown_as_far_as_it_goes(play):
    agent = play(
        """
        c = greet()
        os.write(1, b"caf\\xe9 \\xf0\\x9f\\x98\\x80\\n 10%\\r 20%\\r 30%\\n")
        os.write(2, "Größe".encode() + b"\\r\\n")
        serve(c, lambda m: send(c, type="loaded"))
        """
    )
    agent.request({"type": "load"}, 10)
    agent.close()
    lines = {(line.stream, line.text) for line in agent.drain_output()}
    assert {("stdout", "caf\ufffd 😀"), ("stdout", " 30%"), ("stderr", "Größe")} <= lines


def test_the_agent_gets_no_way_in_but_its_own(play):
    """Neither our listening socket nor the terminal's input is handed on."""
    agent = play(
        """
        c = greet()
        open_files = [int(name) for name in os.listdir("/proc/self/fd")]
        own = c.fileno()
        serve(c, lambda m: send(c, type="probed", stdin=sys.stdin.read(), files=[f for f in open_files if f > 2 and f != own]))
        """
    )
    answer = agent.request({"type": "probe"}, 10)
    assert answer["stdin"] == ""
    assert len(answer["files"]) <= 1  # the folder that was being listed


def test_a_bundle_hands_none_of_its_libraries_on():
    environment = {"LD_LIBRARY_PATH": "/bundle", "LD_LIBRARY_PATH_ORIG": "/users", "QT_PLUGIN_PATH": "/bundle/qt", "HOME": "/home/me"}
    assert clean_environment(environment, "/usr/bin/python", frozen=True, windows=False) == {
        "LD_LIBRARY_PATH": "/users",
        "HOME": "/home/me",
    }
    assert clean_environment(environment, "/usr/bin/python", frozen=False, windows=False) == environment


def test_a_conda_interpreter_on_windows_finds_its_libraries(tmp_path):
    (tmp_path / "conda-meta").mkdir()
    cleaned = clean_environment({"PATH": "old"}, str(tmp_path / "python.exe"), frozen=False, windows=True)
    folders = cleaned["PATH"].split(os.pathsep)
    assert folders[0] == str(tmp_path)
    assert str(tmp_path / "Library/bin") in folders
    assert folders[-1] == "old"


def test_a_venv_made_from_conda_on_windows_finds_condas_libraries(tmp_path):
    conda, venv = tmp_path / "my conda", tmp_path / "venv"
    (conda / "conda-meta").mkdir(parents=True)
    venv.mkdir()
    (venv / "pyvenv.cfg").write_text(f"home = {conda}\ninclude-system-site-packages = false\n", encoding="utf-8")
    python = str(venv / "Scripts" / "python.exe")
    cleaned = clean_environment({"PATH": "old"}, python, frozen=False, windows=True)
    assert str(conda / "Library/bin") in cleaned["PATH"].split(os.pathsep)
    (venv / "pyvenv.cfg").write_text("home = C:\\Python312\n", encoding="utf-8")
    assert clean_environment({"PATH": "old"}, python, frozen=False, windows=True)["PATH"] == "old"


def test_a_script_on_windows_prints_to_the_app_what_its_console_would_show():
    assert clean_environment({}, "python.exe", frozen=False, windows=True)["PYTHONIOENCODING"] == "utf-8"
    own = {"PYTHONIOENCODING": "cp1252"}
    assert clean_environment(own, "python.exe", frozen=False, windows=True) == own
    assert clean_environment({}, "/usr/bin/python", frozen=False, windows=False) == {}


def test_the_agents_pid_is_the_interpreters_and_not_its_launchers(play):
    agent = play("c = greet(pid=4242)\nserve(c, lambda m: None)")
    assert agent.pid == 4242


def test_closing_twice_is_harmless(play):
    agent = play("c = greet()\nserve(c, lambda m: None)")
    agent.close()
    agent.close()
