"""Loading the user's script: where it runs, and how each way to fail is told."""

import json
import multiprocessing
import os
import textwrap

import pytest
from agent_interpreter import value_in_agent

from loaderscope.agent.error_sentences import STANDARD_INPUT
from loaderscope.agent.messages import Consumer, ErrorInfo, TrialConfig

DATASET = """
    class Squares(torch.utils.data.Dataset):
        def __init__(self, length):
            self.length = length
        def __len__(self):
            return self.length
        def __getitem__(self, index):
            return index * index
"""


def null_byte_error():
    """What Python raises for a null byte in a script."""
    return "SyntaxError" if value_in_agent("sys.version_info >= (3, 11, 4)") else "ValueError"


@pytest.mark.parametrize(
    ("source", "kind", "line", "words"),
    [
        ("x = 1\nreturn x\n", "SyntaxError", 2, ["train.py, line 2", "'return' outside function"]),
        ("import os\n\nimport surely_not_there\n", "ModuleNotFoundError", 3, ["surely_not_there", "train.py, line 3"]),
        ("import sys\nsys.exit(3)\n", "SystemExit", 2, ["sys.exit(3)", "train.py, line 2"]),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt", 1, ["train.py, line 1"]),
        ("def f():\n    return {}['weight']\nf()\n", "KeyError", 2, ["'weight'", "train.py, line 2, in f"]),
        ("name = 'ok'\nother = 'M\xfcnchen'\n".encode("latin-1"), "SyntaxError", 2, ["train.py, line 2", "utf-8"]),
        (b"a = 1\0\n", "null byte", None, ["train.py"]),
    ],
)
def test_each_way_to_fail_is_one_sentence_with_file_and_line(agent, write, source, kind, line, words):
    script = write(source)
    failure = agent.load(script)
    assert isinstance(failure, ErrorInfo)
    assert failure.kind == (null_byte_error() if kind == "null byte" else kind)
    assert failure.file == str(script)
    assert line is None or failure.line == line
    assert "\n" not in failure.message
    for word in words:
        assert word in failure.message


def test_an_import_that_fails_because_of_where_the_script_stands_is_explained(agent, write):
    assert "a script outside of it" in agent.load(write("from .data import dataset\n")).message
    write("import colorsys\nfrom colorsys import rgb_to_hsv\n", "colorsys.py")
    assert "colorsys.py beside the script stands before Python's own" in agent.load(write("import colorsys\n")).message


def test_a_missing_file_and_a_folder_are_told_and_the_agent_goes_on(agent, write, tmp_path):
    failure = agent.load(tmp_path / "nowhere.py")
    assert failure.kind == "FileNotFoundError"
    assert "nowhere.py" in failure.message
    assert agent.load(tmp_path).kind == "IsADirectoryError"
    assert isinstance(agent.load(write("import torch\n")), list)


def test_an_error_in_a_module_of_the_user_points_into_that_module(agent, write):
    write("def broken(:\n", "data.py")
    failure = agent.load(write("import data\n"))
    assert (failure.kind, os.path.basename(failure.file), failure.line) == ("SyntaxError", "data.py", 1)
    assert "data.py, line 1" in failure.message


def test_a_declared_coding_is_respected(agent, write):
    source = "# coding: latin-1\nimport torch\nname = 'M\xfcnchen'\nprint(len(name))\n".encode("latin-1")
    assert agent.load(write(source)) == []
    assert "7" in agent.close()


def test_the_script_finds_what_python_would_give_it(agent, write, tmp_path):
    """Arguments, folder, working directory, both names of its module; nothing of ours in path or environment."""
    script = write(
        """
        import json, os, sys
        import torch
        print(json.dumps({
            "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "file": __file__, "name": __name__,
            "main": sys.modules["__main__"].__file__, "same": sys.modules["__main__"] is sys.modules["__mp_main__"],
            "secrets": [name for name in os.environ if name in ("LOADERSCOPE_TOKEN", "LOADERSCOPE_ADDRESS")],
            "agent": [name for name in ("serve", "script", "messages", "loaderscope") if name in sys.modules],
        }))
        if __name__ == "__main__":
            raise SystemExit("the main block ran")
        """,
        "a folder with spaces/übung.py",
    )
    assert agent.load(script, "--epochs", "3") == []
    seen = json.loads(agent.close()[0])
    assert seen["argv"] == [str(script), "--epochs", "3"]
    assert seen["path"][0] == str(script.parent)
    assert not any(path.endswith(os.path.join("loaderscope", "agent")) for path in seen["path"])
    assert seen["cwd"] == str(tmp_path)
    assert seen["file"] == seen["main"] == str(script)
    assert (seen["name"], seen["same"]) == ("__mp_main__", True)
    assert seen["secrets"] == []
    assert seen["agent"] == []


def test_a_file_beside_the_script_shadows_a_standard_module_that_only_the_agent_had_loaded(agent, write):
    write("mine = True\n", "platform.py")
    script = write("import platform\nprint('mine', platform.mine)\n")
    agent.load(script)
    assert "mine True" in agent.close()


@pytest.mark.parametrize("start_method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_classes_of_the_script_travel_to_workers_and_back(agent, write, start_method):
    """A namedtuple batch made by a collate_fn of the script, a dataset of another module beside it, an umlaut in the path."""
    if start_method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {start_method}")
    write("import torch\n" + textwrap.dedent(DATASET), "dätä/squares.py")
    script = write(
        """
        import collections
        import torch
        from squares import Squares

        Batch = collections.namedtuple("Batch", "values total")

        def collate_fn(samples):
            return Batch(torch.tensor(samples), sum(samples))

        squares = Squares(12)

        def train_step(batch):
            assert type(batch) is Batch, type(batch)
            print("total", batch.total, flush=True)
        """,
        "dätä/train.py",
    )
    assert [target.name for target in agent.load(script)] == ["squares"]
    agent.attach("squares")
    config = TrialConfig(1, 4, 2, start_method=start_method)
    outcome = agent.trial(config, Consumer("script"), record=True)
    assert not isinstance(outcome, ErrorInfo), outcome.message
    assert (outcome.batches, outcome.samples, outcome.ran_user_code) == (3, 12, True)
    totals = [int(line.split()[1]) for line in agent.close() if line.startswith("total")]
    assert totals == [0 + 1 + 4 + 9, 16 + 25 + 36 + 49, 64 + 81 + 100 + 121]


@pytest.mark.parametrize("call", ["input()", "breakpoint()"])
def test_a_script_that_asks_for_input_gets_none_and_is_told_where(agent, write, call):
    failure = agent.load(write(f"def main():\n    {call}\n    print('on')\nmain()\n"))
    assert failure.cause == STANDARD_INPUT
    assert "train.py, line " in failure.message
    assert call in failure.message


@pytest.mark.parametrize("read", ["sys.stdin.read()", "sys.stdin.readline()", "sys.stdin.readlines()", "list(sys.stdin)"])
def test_a_script_that_fails_without_its_input_is_told_where_it_reads_it(agent, write, read):
    failure = agent.load(write(f"import sys\ndef config():\n    return {read}\nsize = int(config()[0])\n"))
    assert (failure.kind, failure.line) == ("IndexError", 4)
    assert "standard input" in failure.message
    assert "line 3, in config" in failure.message
