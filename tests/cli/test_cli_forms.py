"""Modules and notebooks in place of a script, on the command line."""

import json
import multiprocessing
import pathlib
import textwrap

import pytest
from command_line import loaderscope
from running import write_script

METHODS = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]

DATA = """
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    numbers = TensorDataset(torch.zeros(400, 10))
"""
MODULE = """
    from .data import DataLoader, numbers
    if __name__ == "__main__":
        for batch in DataLoader(numbers, batch_size=16):
            print("trained")
"""
OPTIONS = ("--num-workers", "0,1", "--start-method", ",".join(METHODS), "--batches", "5", "--max-seconds", "40", "--json")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    write_script(tmp_path / "pkg", "", "__init__.py")
    write_script(tmp_path / "pkg", DATA, "data.py")
    write_script(tmp_path / "pkg", MODULE, "train.py")
    return tmp_path


@pytest.fixture
def notebook(tmp_path: pathlib.Path) -> pathlib.Path:
    """A notebook that iterates a loader of a class of its own."""
    cells = [
        "!ls\n",
        DATA,
        "class Own(TensorDataset):\n    pass\n",
        "for batch in DataLoader(Own(torch.zeros(400, 3)), 16):\n    print('trained')\n",
    ]
    content = {"cells": [{"cell_type": "code", "source": textwrap.dedent(cell)} for cell in cells], "nbformat": 4}
    return write_script(tmp_path / "lessons", json.dumps(content), "one.ipynb")


def assert_all_ok(document, script: pathlib.Path, module: str | None) -> None:
    assert [trial["status"] for trial in document["trials"]] == ["ok"] * (1 + len(METHODS))
    assert (document["request"]["script"], document["request"]["module"]) == (str(script), module)


@pytest.mark.slow
def test_a_module_is_swept_by_its_name(folder: pathlib.Path) -> None:
    done = loaderscope(folder, "run", "-m", "pkg.train", "--target", "captured:0", *OPTIONS)
    assert_all_ok(done.document, folder / "pkg" / "train.py", "pkg.train")
    assert (folder / "train.loaderscope").exists()
    assert "trained" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_file_of_a_package_is_swept_by_its_path(folder: pathlib.Path) -> None:
    done = loaderscope(folder, "run", "pkg/train.py", "--target", "captured:0", *OPTIONS)
    assert_all_ok(done.document, folder / "pkg" / "train.py", None)
    assert "python -m pkg.train" in done.stderr


def test_a_notebook_is_swept_in_its_own_folder(tmp_path: pathlib.Path, notebook: pathlib.Path) -> None:
    done = loaderscope(tmp_path, "run", "lessons/one.ipynb", "--target", "captured:0", *OPTIONS)
    assert_all_ok(done.document, notebook, None)
    assert done.document["request"]["cwd"] == str(notebook.parent)
    assert "1 line of magics" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["targets"], "-m MODULE"),
        (["run", "pkg/train.py", "-m", "pkg.train"], "either"),
        (["targets", "-m", "pkg.nothing"], "no module pkg.nothing"),
        (["targets", "-m", "pkg/train.py"], "not the name of a module"),
        (["open", "pkg/train.py", "-m", "pkg.train"], "either"),
        (["open", "-m", "pkg.nothing"], "no module pkg.nothing"),
    ],
)
def test_what_names_no_script_is_one_sentence(folder: pathlib.Path, arguments: list[str], words: str) -> None:
    done = loaderscope(folder, *arguments)
    assert done.status == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_targets_say_how_a_script_runs(folder: pathlib.Path) -> None:
    done = loaderscope(folder, "targets", "pkg/train.py", "--json")
    assert "pkg.train" in done.document["notes"][0]
    assert loaderscope(folder, "targets", "-m", "pkg.train", "--json").document["notes"] == []
