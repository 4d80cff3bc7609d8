"""Interpreters of the machine, real and played by small scripts."""

import os
import pathlib
import subprocess
import sys

import pytest
from running import is_alive, write_script

from loaderscope.sweep import interpreters
from loaderscope.sweep.interpreters import Interpreter, ask, list_interpreters

posix = pytest.mark.skipif(sys.platform == "win32", reason="uses scripts as interpreters")


def fake(path: pathlib.Path, body: str) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(0o755)
    return path


@pytest.fixture
def empty_machine(tmp_path, monkeypatch):
    """A home and a PATH with nothing in them, so that only what a test puts there is found."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(pathlib.Path, "home", lambda: home)
    return tmp_path


@pytest.fixture(scope="module")
def bare_environment(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("project") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def test_the_running_one_says_what_it_has():
    torch = pytest.importorskip("torch")
    answer = ask(sys.executable)
    assert answer.python == ".".join(map(str, sys.version_info[:3]))
    assert answer.torch == str(torch.__version__)
    assert answer.torch_cuda == (f"CUDA {torch.version.cuda}" if torch.version.cuda else answer.torch_cuda)
    assert "torch" in answer.describe()


def test_torch_is_found_without_being_imported(tmp_path, bare_environment):
    """A torch that cannot be imported still says which it is."""
    packages = next(bare_environment.glob("lib/python*/site-packages" if os.name == "posix" else "Lib/site-packages"))
    (packages / "torch").mkdir()
    (packages / "torch" / "__init__.py").write_text("raise RuntimeError('imported')")
    (packages / "torch" / "version.py").write_text("__version__ = '2.6.0+cu124'\ncuda: Optional[str] = '12.4'\nhip: Optional[str] = None\n")
    python = bare_environment / ("bin/python" if os.name == "posix" else "Scripts/python.exe")
    answer = ask(str(python))
    assert (answer.torch, answer.torch_cuda, answer.has_torch) == ("2.6.0+cu124", "CUDA 12.4", True)
    assert answer.describe().endswith("torch 2.6.0+cu124 (CUDA 12.4)")
    (packages / "torch" / "__init__.py").unlink()
    (packages / "torch" / "version.py").unlink()
    (packages / "torch").rmdir()
    assert not ask(str(python)).has_torch


@posix
def test_one_that_does_not_answer_is_given_up_in_time(tmp_path):
    asked = ask(str(fake(tmp_path / "python", f"echo $$ > {tmp_path}/pid; exec sleep 3600\n")), timeout_s=0.5)
    assert "does not answer" in asked.problem
    assert not is_alive(int((tmp_path / "pid").read_text()))


@posix
@pytest.mark.parametrize(
    ("body", "words"), [("echo broken >&2; exit 1\n", "broken"), ("echo '{]'\n", "no working Python"), ("echo 3\n", "no answer")]
)
def test_one_that_is_none_says_so(tmp_path, body, words):
    assert words in ask(str(fake(tmp_path / "python", body))).problem


def test_one_that_is_absent_says_so(tmp_path):
    assert "cannot be started" in ask(str(tmp_path / "python")).problem


@posix
def test_environments_are_found_where_they_are_kept(empty_machine, bare_environment, monkeypatch):
    script = write_script(bare_environment.parent / "deep" / "er", "")
    broken = "echo broken >&2; exit 1\n"
    fake(empty_machine / "conda" / "bin" / "python", broken)
    (empty_machine / "home" / ".conda").mkdir()
    (empty_machine / "home" / ".conda" / "environments.txt").write_text(f"{empty_machine / 'conda'}\n\n/gone\n")
    fake(empty_machine / "home" / ".pyenv" / "versions" / "3.12.1" / "bin" / "python", broken)
    fake(empty_machine / "bin" / "python3.13", broken)
    fake(empty_machine / "bin" / "python-config", broken)
    fake(empty_machine / "active" / "bin" / "python", broken)
    monkeypatch.setenv("VIRTUAL_ENV", str(empty_machine / "active"))
    found = {(one.path, one.source) for one in list_interpreters(str(script))}
    assert found == {
        (sys.executable, "runs this app"),
        (str(empty_machine / "active" / "bin" / "python"), "VIRTUAL_ENV"),
        (str(bare_environment / "bin" / "python"), "environment near the script"),
        (str(empty_machine / "conda" / "bin" / "python"), "conda"),
        (str(empty_machine / "home" / ".pyenv" / "versions" / "3.12.1" / "bin" / "python"), "pyenv"),
        (str(empty_machine / "bin" / "python3.13"), "PATH"),
    }


@posix
def test_those_with_torch_come_first_and_the_broken_last(empty_machine, bare_environment, monkeypatch):
    monkeypatch.setattr(interpreters, "is_frozen", lambda: True)
    fake(empty_machine / "bin" / "python3", "exit 1\n")
    monkeypatch.setenv("VIRTUAL_ENV", str(bare_environment))
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    found = list_interpreters()
    assert [(one.problem is None, one.has_torch) for one in found] == [(True, True), (True, False), (False, False)]


@posix
def test_one_interpreter_under_two_names_is_listed_once(empty_machine, monkeypatch):
    (empty_machine / "bin").mkdir()
    for name in ("python", "python3"):
        (empty_machine / "bin" / name).symlink_to(sys.executable)
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert len([one for one in list_interpreters() if one.prefix == sys.prefix]) == 1


def test_a_build_without_cuda_says_so():
    assert Interpreter("p", "s", "3.11.7", "2.13.0").describe() == "Python 3.11.7, torch 2.13.0 (CPU only)"
