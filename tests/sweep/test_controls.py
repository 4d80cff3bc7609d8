"""Controls of the start-up experiment, in interpreters that work and in some that do not."""

import multiprocessing
import os
import pathlib
import stat
import sys

import psutil
import pytest
from agent_interpreter import AGENT_PYTHON

from loaderscope.sweep.experiment import control_runs
from loaderscope.sweep.experiment.control_runs import measure_controls, measure_preload

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake interpreters are shell scripts")


no_fork_server = pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="no fork server here")


def interpreter(folder: pathlib.Path, text: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


HERE = """
import time
until = time.thread_time() + 0.2
while time.thread_time() < until:
    pass
open("where", "w").close()
"""


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(control_runs, "CONTROLS", names)


def test_an_interpreter_and_an_import_are_timed_from_disk_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "python", "numpy")
    bare, numpy = measure_controls(AGENT_PYTHON, 30.0)
    assert bare.error is None and numpy.error is None
    assert 0 < bare.again_s < numpy.again_s  # type: ignore[operator]
    assert bare.again_cpu_s > 0  # type: ignore[operator]
    assert numpy.cache_was_dropped == (sys.platform == "linux")
    assert numpy.first_from_disk_share is None or 0 <= numpy.first_from_disk_share <= 1


@no_fork_server
def test_a_fork_server_that_preloads_starts_later_by_what_it_finds(tmp_path: pathlib.Path) -> None:
    folder, elsewhere = tmp_path / "scripts", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "mine.py").write_text(HERE)
    found = measure_preload(AGENT_PYTHON, ["mine", "nowhere"], str(folder), cwd=str(folder), timeout_s=30.0)
    assert (found.name, found.modules, found.error, found.first_s) == ("preload", ["mine", "nowhere"], None, None)
    assert found.again_s >= 0.2  # type: ignore[operator]
    assert 0 < found.import_s < found.again_s  # type: ignore[operator]
    (folder / "where").unlink()
    missed = measure_preload(AGENT_PYTHON, ["mine"], str(elsewhere), cwd=str(elsewhere), timeout_s=30.0)
    assert missed.error is None and not (folder / "where").exists() and not (elsewhere / "where").exists()


@no_fork_server
@pytest.mark.parametrize("text", ["", "1 / 0"], ids=["started", "failed"])
def test_a_fork_server_leaves_no_socket(
    tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    temporary = tmp_path_factory.mktemp("t")  # a short name: the path of a socket has about 100 characters
    monkeypatch.setenv("TMPDIR", str(temporary))
    (tmp_path / "mine.py").write_text(text)
    found = measure_preload(AGENT_PYTHON, ["mine"], str(tmp_path), cwd=str(tmp_path), timeout_s=30.0)
    assert (found.error is None) == (not text)
    assert list(temporary.iterdir()) == []


@no_fork_server
def test_a_module_that_fails_for_another_reason_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    found = measure_preload(AGENT_PYTHON, ["broken"], str(tmp_path), cwd=str(tmp_path), timeout_s=30.0)
    assert found.import_s is None
    assert found.error == "The interpreter ended by itself with exit status 1: ZeroDivisionError: division by zero."


def test_an_interpreter_without_the_module_says_so(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "torch")
    (control,) = measure_controls(interpreter(tmp_path, f'exec {AGENT_PYTHON} -S "$@"'), 30.0)
    assert control.error == "This interpreter has no torch."
    assert control.first_s is None


def test_an_interpreter_that_fails_tells_its_last_line(tmp_path: pathlib.Path) -> None:
    for control in measure_controls(interpreter(tmp_path, "echo broken on purpose >&2; exit 3"), 30.0):
        assert control.error == "The interpreter ended by itself with exit status 3: broken on purpose."


def test_an_interpreter_that_is_not_there_is_told(tmp_path: pathlib.Path) -> None:
    assert "cannot be started" in (measure_controls(str(tmp_path / "nothing"), 30.0)[0].error or "")


def test_one_that_hangs_is_given_up_and_leaves_no_process(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "python")
    pid_file = tmp_path / "pid"
    (control,) = measure_controls(interpreter(tmp_path, f"echo $$ > {pid_file}; sleep 60 & wait"), 0.3)
    assert control.error == "It did not end within 0.3 s (--load-timeout)."
    assert not psutil.pid_exists(int(pid_file.read_text()))


def test_cancelling_ends_the_process_at_once(tmp_path: pathlib.Path) -> None:
    pid_file = tmp_path / "pid"

    class StopError(Exception):
        pass

    def tick() -> None:
        if pid_file.exists() and pid_file.read_text().strip():
            raise StopError

    with pytest.raises(StopError):
        measure_controls(interpreter(tmp_path, f"echo $$ > {pid_file}; exec sleep 60"), 30.0, tick)
    assert not psutil.pid_exists(int(pid_file.read_text()))


def test_dropping_files_from_the_cache_changes_nothing_in_them(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(os.urandom(10_000))
    before = path.read_bytes()
    assert control_runs.drop_from_cache([str(path), str(tmp_path), str(tmp_path / "nothing")]) == (sys.platform == "linux")
    assert path.read_bytes() == before
