"""With `--json`, a command that cannot do its work still prints one JSON document, which says why."""

import pathlib
import subprocess
import sys

import pytest
from command_line import SMALL, Done, in_this_process, loaderscope, write_script


def error_of(done: Done) -> dict[str, object]:
    """The error of a document that holds nothing else but its version."""
    assert done.status == 2, done.stderr
    assert set(done.document) == {"loaderscope", "schema", "error"}
    error = done.document["error"]
    assert {"kind", "message", "traceback"} <= set(error)
    assert str(error["message"]) in done.stderr
    return error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "missing.py"), "missing.py"),
        (("targets", "missing.py"), "missing.py"),
        (("show", "missing.loaderscope"), "missing.loaderscope"),
        (("doctor", "-o", "a.loaderscope"), "--selftest"),
        (("run", "script.py", "--num-workers", "two"), "'two' is not a whole number"),
        (("run", "script.py", "--colour", "red"), "--colour"),
    ],
)
def test_a_wrong_request_is_the_error_of_the_document(arguments: tuple[str, ...], words: str, tmp_path: pathlib.Path) -> None:
    error = error_of(in_this_process(tmp_path, *arguments, "--json"))
    assert error["kind"] == "UsageError"
    assert words in str(error["message"])


@pytest.mark.parametrize("command", [("run", "script.py", "-o", "a.loaderscope"), ("targets", "script.py")])
def test_an_exception_of_the_script_is_the_error_with_its_traceback(command: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, "import os\n\nraise KeyError('no such image')\n")
    error = error_of(in_this_process(tmp_path, *command, "--json"))
    assert (error["kind"], error["line"]) == ("KeyError", 3)
    assert "raise KeyError" in str(error["traceback"])
    assert not (tmp_path / "a.loaderscope").exists()


def test_a_sweep_that_skips_every_setting_ends_with_2_and_says_why_in_the_session(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL)
    options = ("--num-workers", "0,1", "--max-seconds", "0.01", "-o", "out.loaderscope", "--json")
    done = in_this_process(tmp_path, "run", "script.py", *options)
    assert done.status == 2
    assert {trial["status"] for trial in done.document["trials"]} == {"skipped"}
    assert done.document["error"]["kind"] == "limit"
    assert "(--max-seconds)" in done.document["error"]["message"]
    assert in_this_process(tmp_path, "show", "out.loaderscope", "--json").document["error"] == done.document["error"]


def test_a_sweep_that_skips_only_some_settings_ends_with_0_and_has_no_error(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL)
    options = ("--num-workers", "0", "--persistent-workers", "on,off", "--batches", "2", "-o", "out.loaderscope", "--json")
    both = in_this_process(tmp_path, "run", "script.py", *options, "--pin-memory", "on,off")
    statuses = {trial["status"] for trial in both.document["trials"]}
    assert "ok" in statuses
    assert (both.status, both.document["error"]) == (0, None)


INTERRUPTED_IMPORT = """
import signal
import sys

class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[-1]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
from loaderscope.cli import main
sys.exit(main(["doctor", "--json"]))
"""


@pytest.mark.parametrize("module", ["loaderscope.cli.command_line", "argparse", "loaderscope.sweep.doctor"])
def test_ctrl_c_during_imports_ends_with_130_and_without_a_traceback(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_IMPORT, module], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (130, "loaderscope: interrupted\n")


def test_a_command_in_a_process_of_its_own_prints_nothing_but_the_document(tmp_path: pathlib.Path) -> None:
    assert "missing.py" in str(error_of(loaderscope(tmp_path, "run", "missing.py", "--json"))["message"])


def test_the_doctor_names_what_is_wrong_with_an_interpreter_beside_what_it_found(tmp_path: pathlib.Path) -> None:
    done = in_this_process(tmp_path, "doctor", "--python", str(tmp_path / "nothing"), "--json")
    assert done.status == 2
    assert done.document["error"]["message"] == done.document["interpreter"]["error"]
    assert "machine" in done.document
