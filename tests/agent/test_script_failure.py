"""Why a script ended, and what it lacks here, as the exception that ended it shows."""

from __future__ import annotations

import getpass
import io
import pathlib
import textwrap

import pytest

from loaderscope.agent import error_sentences
from loaderscope.agent.messages import ErrorInfo
from loaderscope.agent.script_failure import TORCHRUN_NAMES, describe_exit


@pytest.fixture
def failure_of(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a script in this process, and describes how it failed."""
    for name in TORCHRUN_NAMES:
        monkeypatch.delenv(name, raising=False)

    def run(source: str) -> ErrorInfo:
        script = tmp_path / "train.py"
        script.write_text(textwrap.dedent(source), encoding="utf-8")
        try:
            exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), {"__name__": "__main__"})
        except BaseException as error:
            return describe_exit(error, "before it trained", str(tmp_path))
        raise AssertionError("the script did not fail")

    return run


@pytest.mark.parametrize(
    "source",
    [
        "import os\nrank = int(os.environ['RANK'])\n",
        "import os\nlocal_rank = int(os.environ.get('LOCAL_RANK'))\n",
        "import os\nassert 'WORLD_SIZE' in os.environ, 'start me with torchrun'\n",
        "import os\nif int(os.getenv('RANK')) == 0:\n    print('first')\n",
        "import os, sys\nif 'RANK' not in os.environ:\n    print('hint')\n    sys.exit('start me with torchrun')\n",
        "import os\nif 'RANK' in os.environ:\n    pass\nelse:\n    raise RuntimeError('start me with torchrun')\n",
        "import torch.distributed as dist\ndist.init_process_group('gloo')\n",
        "import os, sys\ntry:\n    os.environ['LOCAL_RANK']\nexcept Exception as error:\n    print(error)\n    sys.exit(1)\n",
    ],
)
def test_a_script_that_asks_for_torchruns_variables_is_known_by_its_exception(failure_of, source):
    assert failure_of(source).cause == error_sentences.TORCHRUN_VARIABLES


@pytest.mark.parametrize(
    "source",
    [
        "import os\nrank = int(os.environ.get('RANK', 0))\nraise ValueError('no data')\n",
        "import os\nif 'RANK' in os.environ:\n    pass\nelse:\n    rank = int('zero')\n",
        "settings = {}\nrank = settings['RANK']\n",
        "import os\ndata = os.environ['DATA']\n",
    ],
)
def test_another_failure_of_a_script_that_may_run_under_torchrun_is_not_taken_for_one(failure_of, source):
    assert failure_of(source).cause is None


def test_a_variable_that_is_set_is_not_asked_for(failure_of, monkeypatch):
    for name in TORCHRUN_NAMES:
        monkeypatch.setenv(name, "zero")
    assert failure_of("import os\nrank = int(os.environ['RANK'])\n").cause is None


@pytest.mark.parametrize(
    ("source", "kind", "line", "words"),
    [
        ("def main():\n    return input('Overwrite? ')\nmain()\n", "EOFError", 2, ["train.py, line 2, in main", "input()"]),
        ("import getpass\npassword = getpass.getpass()\n", "EOFError", 2, ["train.py, line 2", "getpass()"]),
        (
            # as libraries of prompts do it: their exception takes the place of Python's, and they end the script
            """
            import sys
            def prompt():
                try:
                    return input("name? ")
                except EOFError:
                    raise RuntimeError("aborted") from None
            try:
                prompt()
            except RuntimeError:
                print("Aborted!", file=sys.stderr)
                sys.exit(1)
            """,
            "EOFError",
            5,
            ["train.py, line 5", "input()"],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::getpass.GetPassWarning")
def test_a_script_that_asks_for_input_is_told_where(failure_of, monkeypatch, source, kind, line, words):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("getpass.getpass", getpass.fallback_getpass)
    failure = failure_of(source)
    assert (failure.kind, failure.line, failure.cause) == (kind, line, error_sentences.STANDARD_INPUT)
    assert all(word in failure.message for word in words)


def test_another_end_of_a_file_is_no_request_for_input(failure_of):
    failure = failure_of("import io, pickle\npickle.load(io.BytesIO())\n")
    assert (failure.kind, failure.cause) == ("EOFError", None)


@pytest.mark.parametrize(
    ("source", "cause", "words"),
    [
        ("import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--data', required=True)\nparser.parse_args([])\n",
         error_sentences.WRONG_ARGUMENTS, ["train.py, line 4", "sys.exit(2)", "before it trained"]),
        ("import sys\nprint('no data', file=sys.stderr)\nsys.exit(3)\n", error_sentences.EXIT_STATUS, ["train.py, line 3", "sys.exit(3)"]),
        ("import sys\nsys.exit('no data in /data')\n", None, ["no data in /data"]),
        ("import sys\nsys.exit()\n", None, ["sys.exit(0)"]),
        # as Hydra does it: it prints the exception and ends the script
        ("import sys\ndef main():\n    raise ValueError('no data')\ntry:\n    main()\nexcept Exception:\n    sys.exit(1)\n",
         None, ["train.py, line 7", "ValueError: no data", "train.py, line 3, in main"]),
        # as click does it: its exception holds the status, and it prints a line of its own
        ("import sys\nclass Refusal(Exception):\n    exit_code = 1\ntry:\n    raise Refusal('x')\nexcept Refusal:\n    sys.exit(1)\n",
         error_sentences.EXIT_STATUS, ["sys.exit(1)"]),
    ],
)  # fmt: skip
def test_a_script_that_ends_itself_says_where_and_why(failure_of, source, cause, words):
    failure = failure_of(source)
    assert (failure.kind, failure.cause) == ("SystemExit", cause)
    assert "\n" not in failure.message
    assert all(word in failure.message for word in words)


@pytest.mark.parametrize("reading", ["open('list.txt')", "try:\n    open('list.txt')\nexcept Exception:\n    sys.exit(1)"])
def test_a_file_that_is_missing_where_the_script_has_gone_is_found_where_it_was_started(failure_of, tmp_path, monkeypatch, reading):
    (tmp_path / "list.txt").touch()
    (tmp_path / "outputs").mkdir()
    monkeypatch.chdir(tmp_path)
    failure = failure_of(f"import os, sys\nos.chdir('outputs')\n{reading}\n")
    assert f"list.txt is in {tmp_path}" in failure.message
    assert str(tmp_path / "outputs") in failure.message
