"""Notebooks as Python: what is left out of their cells, and which statements a worker runs again."""

import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebooks import notebook_text

from loaderscope.agent.notebook import NotebookError, clean_cell, read_notebook
from loaderscope.agent.notebook_definitions import positions_for_workers

PLAIN = [
    "import os\n",
    "for i in range(3):\n    print(i)\n",
    'text = """\n!not a command\n%not a magic\nreally?\n"""\n',
    "rest = [7\n%3, 8]\n",
    "a = 1\nb = a \\\n% 2\n",
    "# who?\nx = a != b\n",
    "text = 'two\x0cpages'\n",
    "",
]
MAGICS = {
    "%matplotlib inline\n": "pass\n",
    "!pip install x \\\n  y\n": "pass\n\n",
    "if True:\n    !ls\n": "if True:\n    pass\n",
    "os?\n": "pass\n",
    "??os.path\n": "pass\n",
    "%%time\nx = 1\n": "\nx = 1\n",
    "%timeit -n 3 -r 2 sum([1])\n": "sum([1])\n",
    "%time n = 3\n": "n = 3\n",
    "n = %time 3\n": "n = 3\n",
}


@pytest.mark.parametrize(("source", "expected"), MAGICS.items())
def test_a_magic_is_left_out_and_its_statement_stays(source, expected):
    assert clean_cell(source, "cell 1").source == expected


@given(st.lists(st.sampled_from(PLAIN + [source for source in MAGICS if not source.startswith("%%")]), max_size=8))
def test_a_cell_becomes_python_and_no_line_moves(parts):
    source = "".join([*parts, "last = 1\n"])
    cleaned = clean_cell(source, "cell 1")
    assert ast.parse(cleaned.source).body[-1].lineno == source.count("\n")
    for part in parts:
        if part in PLAIN:
            assert part in cleaned.source


@given(st.text(alphabet="ab%!?=\"'#\\\n ([{)]} ", max_size=40))
def test_any_text_is_cleaned_without_an_error(text):
    assert clean_cell(text, "cell 1").source.count("\n") in (0, text.count("\n"))


def test_plain_python_is_left_as_it_is():
    for source in PLAIN:
        assert clean_cell(source, "cell 1") == (source, 0, None)


def test_what_was_left_out_is_said_once():
    notebook = read_notebook(notebook_text("!ls\n%load_ext x\nx = !pwd", "%%bash\nls\n", "%%writefile a.py\n1", "x = 1"))
    assert [cell.number for cell in notebook.cells] == [1, 2, 3, 4]
    assert [cell.source for cell in notebook.cells[1:]] == ["", "", "x = 1"]
    assert len(notebook.notes) == 1
    for words in ("3 lines", "2 cells", "%%bash", "%%writefile"):
        assert words in notebook.notes[0]


def test_folder_and_environment_magics_are_carried_out_and_not_counted():
    notebook = read_notebook(notebook_text("%cd data\n%env A=1\n%set_env B 2\n"))
    assert notebook.notes == ()
    assert notebook.cells[0].source.count("run_line_magic") == 3


@pytest.mark.parametrize("old_format", [False, True])
def test_cells_of_every_format_are_read_in_order_and_empty_ones_have_no_number(old_format):
    notebook = read_notebook(notebook_text("a = 1", "  \n", "b = 2", old_format=old_format))
    assert [(cell.number, cell.source) for cell in notebook.cells] == [(1, "a = 1"), (2, "b = 2")]


def test_a_source_may_be_one_text():
    text = json.dumps({"cells": [{"cell_type": "code", "source": "a = 1\nb = 2"}]})
    assert read_notebook(text).cells[0].source == "a = 1\nb = 2"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON"),
        ("[]", "no cells"),
        ('{"cells": 3}', "no cells"),
        (json.dumps({"cells": [{"cell_type": "markdown", "source": "text"}, 3]}), "without code"),
        (notebook_text("1", language="julia"), "julia"),
    ],
)
def test_what_is_no_notebook_of_python_is_refused(text, words):
    with pytest.raises(NotebookError, match=words):
        read_notebook(text)


def kept(*cells: str) -> list[str]:
    """The statements that a worker runs again."""
    trees = [ast.parse(cell) for cell in cells]
    positions = positions_for_workers(trees, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return [ast.unparse(tree.body[position]) for tree, chosen in zip(trees, positions, strict=True) for position in chosen]


DATASET = "class Data(Dataset):\n    def __getitem__(self, i):\n        return transform(table[i] - mean)"


def test_a_worker_makes_the_values_that_its_dataset_uses():
    statements = kept(
        "import torch\nfrom torch.utils.data import Dataset",
        "path = 'data'\ntable = read(path)\ntable['x'] = 3\nunused = read('else')",
        "mean = 0\nfor row in table:\n    mean += row\ntransform = Compose([crop])\n",
        "def crop(x):\n    return x\n" + DATASET,
    )
    assert not any("unused" in statement for statement in statements)
    assert len(statements) == 10


def test_a_worker_never_trains_again():
    training = "for epoch in range(9):\n    for batch in loader:\n        loss = net(batch)\n        loss.backward()\n        mean = loss"
    train = "def train(net):\n    optimizer.step()\n    return history"
    used = "def plot():\n    plt.plot(history)\ndef fit():\n    return train(net)"
    cells = ["mean = 0\n" + DATASET, train, used, training, "history = train(net)", "table = fit()", "plot()"]
    statements = kept(*cells)
    assert "mean = 0" in statements
    assert not any(statement.startswith(("for", "history", "table", "plot")) for statement in statements)


def test_a_module_that_statements_configure_does_not_pull_them_in():
    show = "class Data(Dataset):\n    def __getitem__(self, i):\n        plt.show()"
    assert kept("import plt", show, "plt.plot(history)\nplt.x = history", "history = work()")[2:] == []


def test_a_definition_that_lacks_a_name_is_left_out():
    assert kept("net = Net()", "def use(model=net):\n    pass", "def free():\n    return net") == ["def free():\n    return net"]


def test_a_function_that_is_passed_on_has_what_it_uses():
    assert "vocab = build()" in kept("vocab = build()", "def collate(batch):\n    return vocab", "DataLoader(data, collate_fn=collate)")
