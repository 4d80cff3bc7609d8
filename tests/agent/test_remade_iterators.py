"""Whether the source of a loop shows that it iterates a loader anew for each batch."""

import sys
import textwrap

import agent_package
import pytest

REMADE = {
    "a loop over steps": "for step in range(200):\n    batch = next(iter(loader))\n",
    "a loop over epochs and steps": "for epoch in range(2):\n    for step in range(steps):\n        batch = next(iter(loader))\n",
    "an endless loop": "while True:\n    batch = next(iter(loader))\n    break\n",
    "within another expression": "for step in range(steps):\n    total = sum(next(iter(loader)))\n",
    "in a function": "def train():\n    for step in range(steps):\n        batch = next(iter(loader))\ntrain()\n",
}
KEPT = {
    "a look before the training": "batch = next(iter(loader))\nfor step in range(200):\n    pass\n",
    "a few looks": "for number in range(3):\n    batch = next(iter(loader))\n",
    "an iterator for each epoch": "for epoch in range(200):\n    batches = iter(loader)\n    batch = next(batches)\n",
    "an epoch": "for epoch in range(200):\n    for batch in loader:\n        pass\n",
    "a function that is called in a loop": "def look():\n    return next(iter(loader))\nfor epoch in range(200):\n    look()\n",
}


@pytest.fixture
def is_remade(tmp_path):
    """Runs code that iterates `loader`, and returns the answer at its first iter()."""
    agent_package.load()
    from _loaderscope_agent import loader_use

    answers = []

    class Loader:
        def __iter__(self):
            answers.append(loader_use.remakes_iterator(sys._getframe(1)))
            return iter([[1.0]])

    def run(code):
        path = tmp_path / "train.py"
        path.write_text(textwrap.dedent(code), "utf-8")
        exec(compile(code, str(path), "exec"), {"loader": Loader(), "steps": 20})
        return answers[0]

    return run


@pytest.mark.parametrize("code", REMADE.values(), ids=REMADE)
def test_a_loop_that_calls_next_of_iter_is_seen(is_remade, code):
    assert is_remade(code)


@pytest.mark.parametrize("code", KEPT.values(), ids=KEPT)
def test_loops_that_keep_their_iterator_are_not(is_remade, code):
    assert not is_remade(code)
