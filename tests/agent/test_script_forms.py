"""Forms of a training script besides a plain file: a link to one, a module of a package, a notebook."""

import multiprocessing
import os

import pytest
from notebooks import notebook_text
from script_texts import NUMBERS

from loaderscope.agent.messages import ErrorInfo, TrialConfig

START_METHODS = multiprocessing.get_all_start_methods()


@pytest.mark.skipif(os.name == "nt", reason="Python follows no links to scripts there")
def test_a_linked_script_finds_what_lies_beside_its_real_file(agent, write, tmp_path):
    write(NUMBERS, "project/numbers_of_project.py")
    script = write("import sys\nfrom numbers_of_project import Numbers\nprint([sys.path[0], sys.argv[0], __file__])\n", "project/train.py")
    link = tmp_path / "elsewhere" / "linked.py"
    link.parent.mkdir()
    link.symlink_to(script)
    loaded = agent.load(link)
    assert not isinstance(loaded, ErrorInfo), loaded.message
    assert agent.close() == [repr([str(script.parent), str(link), str(link)])]


@pytest.mark.skipif(os.name == "nt", reason="Python follows no links to scripts there")
@pytest.mark.parametrize("method", START_METHODS)
def test_workers_of_a_linked_script_find_it_too(agent, write, tmp_path, method):
    write(NUMBERS, "project/numbers_of_project.py")
    link = tmp_path / "linked.py"
    link.symlink_to(write("from numbers_of_project import Numbers\ndata = Numbers(8)\n", "project/train.py"))
    agent.load(link)
    agent.attach("data")
    assert agent.trial(TrialConfig(1, 4, 2, start_method=method)).batches == 2


MODULE = """
    import sys
    from torch.utils.data import DataLoader
    from .data import Numbers

    class Doubled(Numbers):
        def __getitem__(self, index):
            return 2 * index

    if __name__ == "__main__":
        print([__spec__.name, __package__, __file__, sys.path[0], sys.argv], flush=True)
        for batch in DataLoader(Doubled(8), batch_size=4):
            print("trained", flush=True)
"""


@pytest.fixture
def package(write, tmp_path):
    """A package in a folder below the working directory; returns the path of its module."""
    write("", "deep/inner/pkg/__init__.py")
    write(NUMBERS, "deep/inner/pkg/data.py")
    return write(MODULE, "deep/inner/pkg/train.py")


def assert_runs_as_module(agent, script, name, root, *args):
    """The agent stopped in the main block of a module, and workers of every start method find its class."""
    agent.attach("captured:0")
    for method in START_METHODS:
        outcome = agent.trial(TrialConfig(1, 4, 2, start_method=method))
        assert not isinstance(outcome, ErrorInfo), outcome.message
        assert outcome.batches == 2
    assert agent.close() == [repr([name, name.rpartition(".")[0], str(script), str(root), [str(script), *args]])]


def test_a_module_runs_as_python_runs_it(agent, write, package, tmp_path):
    module = write(package.read_text(), "pkg/train.py")
    write(NUMBERS, "pkg/data.py")
    assert not isinstance(agent.load(module, "--fast", capture=0, module="pkg.train"), ErrorInfo)
    assert agent.notes == []
    assert_runs_as_module(agent, module, "pkg.train", tmp_path, "--fast")


def test_a_module_runs_behind_its_package(agent, write):
    write("print('package')", "pkg/__init__.py")
    assert agent.load(write("import torch\nprint('module')", "pkg/plain.py"), module="pkg.plain") == []
    assert agent.close() == ["package", "module"]


def test_a_file_that_needs_its_package_runs_as_a_module_of_it(agent, write, package):
    write("", "deep/inner/__init__.py")
    assert not isinstance(agent.load(package, capture=0), ErrorInfo)
    assert "python -m inner.pkg.train" in agent.notes[0]
    assert str(package.parents[2]) in agent.notes[0]
    assert_runs_as_module(agent, package, "inner.pkg.train", package.parents[2])


def test_a_package_runs_its_main_module(agent, write, package, tmp_path):
    main = write("from .train import Doubled\ndata = Doubled(8)\nprint(__spec__.name)\n", "deep/inner/pkg/__main__.py")
    targets = agent.load(main, module="pkg")
    assert [target.name for target in targets] == ["data"]
    agent.attach("data")
    assert all(agent.trial(TrialConfig(1, 4, 2, start_method=method)).batches == 2 for method in START_METHODS)
    assert agent.close() == ["pkg.__main__"]


@pytest.mark.parametrize(
    "source",
    [
        "from data import Numbers\n",
        "try:\n    from .data import Numbers\nexcept ImportError:\n    from data import Numbers\n",
    ],
)
def test_a_file_in_a_package_that_runs_as_a_file_does_so(agent, write, package, source):
    script = write(source + "print([__name__, __spec__, __package__])\nnumbers = Numbers(8)\n", "deep/inner/pkg/plain.py")
    assert [target.name for target in agent.load(script)] == ["numbers"]
    assert agent.notes == []
    assert agent.close() == ["['__mp_main__', None, None]"]


@pytest.mark.parametrize("name", ["plain", "lesson.ipynb"])
def test_a_file_that_no_module_can_be_says_that_it_needs_its_package(agent, write, package, name):
    text = "from .data import Numbers\n"
    failure = agent.load(write(notebook_text(text) if name.endswith(".ipynb") else text, f"deep/inner/pkg/{name}"))
    assert (failure.kind, failure.line) == ("ImportError", 1)
    assert "it is part of a package" in failure.message


def test_an_error_in_a_package_around_the_script_has_its_file_and_line(agent, write, package):
    broken = write("\n1 / 0\n", "deep/inner/pkg/__init__.py")
    failure = agent.load(package)
    assert (failure.kind, failure.file, failure.line) == ("ZeroDivisionError", str(broken), 2)


CELLS = (
    "!pip install torch\n%matplotlib inline\nimport os, sys, torch\nfrom torch.utils.data import DataLoader, Dataset\n",
    "%env LESSON=seven\n%cd data\nfiles = !ls\nos?\n",
    "FACTOR = 2\ndisplay([os.environ['LESSON'], os.path.basename(os.getcwd()), '__file__' in globals(), sys.argv[1:]])\n",
    """
class Numbers(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        if FACTOR != 2:
            raise ValueError("wrong factor")
        return FACTOR * index
""",
    "import asyncio\nlength = await asyncio.sleep(0, result=8)\nnumbers = Numbers()\n",
    "%%time\nfor batch in DataLoader(numbers, batch_size=4):\n    print('trained', flush=True)\n",
)


@pytest.fixture
def write_notebook(write, tmp_path):
    (tmp_path / "data").mkdir()
    return lambda *cells: write(notebook_text(*cells).encode(), "lesson.ipynb")


@pytest.mark.parametrize("capture", [None, 0])
def test_a_notebook_runs_up_to_its_loader_and_workers_find_its_classes(agent, write_notebook, capture):
    targets = agent.load(write_notebook(*CELLS), "--fast", capture=capture)
    assert not isinstance(targets, ErrorInfo), targets.message
    assert (targets[0].name, targets[0].length, targets[0].note) == ("captured:0", 8, "")
    assert [(target.cell, target.line) for target in targets if target.name in ("captured:0", "numbers")] == [(6, 2), (5, 3)]
    assert "4 lines" in agent.notes[0]
    assert "Jupyter itself cannot" in agent.notes[1]
    agent.attach("captured:0")
    for method in START_METHODS:
        outcome = agent.trial(TrialConfig(1, 4, 2, start_method=method))
        assert not isinstance(outcome, ErrorInfo), outcome.message
        assert outcome.batches == 2
    assert agent.trial(TrialConfig(0, 4)).batches == 2
    assert agent.close() == [str(["seven", "data", False, ["--fast"]])]


def test_an_error_in_a_notebook_names_cell_and_line_in_every_process(agent, write_notebook):
    failing = CELLS[3].replace("FACTOR != 2", "index == 5")
    script = write_notebook(CELLS[0], "FACTOR = 2", failing, "numbers = Numbers()")
    agent.load(script)
    agent.attach("numbers")
    line = failing.splitlines().index('            raise ValueError("wrong factor")') + 1
    for config in (TrialConfig(0, 4), *(TrialConfig(1, 4, 2, start_method=method) for method in START_METHODS)):
        failure = agent.trial(config)
        assert (failure.kind, failure.file, failure.line) == ("ValueError", f"{script}, cell 3", line)
        assert f"lesson.ipynb, cell 3, line {line}" in failure.message
        assert f'lesson.ipynb, cell 3", line {line}' in failure.traceback
        assert "raise ValueError" in failure.traceback


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["x = 1", "y = 2\nreturn y"], ["lesson.ipynb, cell 2, line 2", "'return' outside function"]),
        (["x = 1", "1 / 0"], ["ZeroDivisionError", "lesson.ipynb, cell 2, line 1"]),
        (["files = !ls *.jpg", "x = 1\nfor file in files:\n    pass"], ["!ls *.jpg", "cell 1, line 1", "cell 2, line 2"]),
        (["sizes = !ls", "print(f'{sizes}')"], ["!ls", "cell 2, line 1"]),
    ],
)
def test_a_notebook_that_fails_says_where_in_one_sentence(agent, write_notebook, cells, words):
    failure = agent.load(write_notebook(*cells))
    assert isinstance(failure, ErrorInfo)
    for word in words:
        assert word in failure.message


def test_a_file_that_is_no_notebook_is_refused_and_the_agent_goes_on(agent, write, write_notebook):
    for text, word in (("{", "JSON"), ("[]", "no cells")):
        failure = agent.load(write(text, "broken.ipynb"))
        assert (failure.kind, "\n" in failure.message) == ("unsupported", False)
        assert word in failure.message
    assert agent.load(write_notebook("import torch")) == []


def test_a_future_import_of_one_cell_holds_for_the_next(agent, write_notebook):
    loaded = agent.load(write_notebook("from __future__ import annotations", "def f(x: Missing): pass\nprint(f.__annotations__)"))
    assert loaded == []
    assert agent.close() == ["{'x': 'Missing'}"]


def test_the_code_of_a_cell_can_be_inspected(agent, write_notebook):
    agent.load(write_notebook("import inspect\nclass A:\n    x = 1", "def f():\n    return 3", "print(inspect.getsource(f).split())"))
    assert agent.close() == ["['def', 'f():', 'return', '3']"]
