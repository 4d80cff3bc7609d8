"""What the doctor prints of an interpreter."""

from __future__ import annotations

import sys

import pytest
from terminal_text import plain_text

from loaderscope.cli.terminal.examination_page import examination_page
from loaderscope.sweep.doctor import examine


@pytest.fixture(scope="module")
def examination():
    return examine(sys.executable)


@pytest.mark.parametrize("free_threaded", [False, True])
def test_an_interpreter_without_the_gil_is_said_to_be_one(examination, free_threaded):
    interpreter = {**examination["interpreter"], "free_threaded": free_threaded}
    text = plain_text(examination_page({**examination, "interpreter": interpreter}), 200)
    assert ("without GIL, torch" in text) == free_threaded
