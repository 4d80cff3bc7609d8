"""What needs no agent: the version, the help, and the place of the script's own arguments."""

import errno
import json
import os
import pathlib
import shlex
import subprocess
import sys

import pytest
from command_line import loaderscope, write_script

import loaderscope as package


def test_the_version_is_printed_without_loading_anything_large(tmp_path: pathlib.Path) -> None:
    done = loaderscope(tmp_path, "--version")
    assert (done.status, done.stdout) == (0, f"loaderscope {package.__version__}\n")
    assert not done.packages & {"numpy", "PySide6", "torch", "psutil", "pynvml", "sqlite3", "rich", "msgspec"}


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "loaderscope", "--version"], capture_output=True, text=True, check=True)
    assert package.__version__ in done.stdout


@pytest.mark.parametrize("command", ["demo", "targets", "run", "show", "report", "doctor"])
def test_every_command_explains_itself(command: str, tmp_path: pathlib.Path) -> None:
    done = loaderscope(tmp_path, command, "--help")
    assert done.status == 0
    assert done.stdout.startswith(f"usage: loaderscope {command}")
    assert "rich" not in done.packages


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes and redirects the streams")
def test_streams_that_are_closed_or_full_end_no_command_with_a_traceback(tmp_path: pathlib.Path) -> None:
    def shell(redirected: str) -> subprocess.CompletedProcess[str]:
        words = shlex.join([sys.executable, "-m", "loaderscope", "targets", "script.py", "--json"])
        return subprocess.run(["sh", "-c", f"{words} {redirected}"], cwd=tmp_path, capture_output=True, text=True, check=False)

    write_script(tmp_path, "answer = 42\n")
    closed = shell(">&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    assert json.loads(shell("2>&-").stdout)["targets"] == []
    if os.path.exists("/dev/full"):
        full = shell(">/dev/full")
        assert full.returncode == 2
        assert full.stderr.splitlines() == [f"loaderscope: standard output cannot be written: {os.strerror(errno.ENOSPC)}"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there always is a display")
def test_no_command_without_a_display_says_so(tmp_path: pathlib.Path) -> None:
    done = loaderscope(tmp_path, QT_QPA_PLATFORM="", DISPLAY="", WAYLAND_DISPLAY="")
    assert done.status == 2
    assert "no display" in done.stderr
    assert "PySide6" not in done.packages
