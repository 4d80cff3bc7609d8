"""What a consumer sees is the same with and without recording: batches, their order, exceptions and their texts."""

import functools
import json
import pathlib
import subprocess

import matrix_cases
import pytest
from agent_interpreter import AGENT_PYTHON, needs_in_order

HERE = pathlib.Path(__file__).parent

METHODS = {"0": "all", "fork": "all", "spawn": "few"}


@functools.lru_cache
def seen_with(method, which, log_dir):
    """What one process saw over all cases, so that torch is imported once a start method."""
    command = [AGENT_PYTHON, str(HERE / "matrix_cases.py"), method, str(log_dir), which]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=110 if which == "few" else 800, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def log_dir_of_module(tmp_path_factory):
    return tmp_path_factory.mktemp("matrix")


def marks_of(name):
    return [needs_in_order] if name == "not in order" else []


CASES = [
    pytest.param(method, which, name, marks=marks_of(name))
    for method, which in METHODS.items()
    for name in matrix_cases.names(method, which)
]
SLOW_CASES = [
    pytest.param(method, name, marks=marks_of(name)) for method in ("forkserver", "spawn") for name in matrix_cases.names(method, "all")
]


@pytest.mark.parametrize(("method", "which", "name"), CASES)
def test_a_consumer_sees_the_same(method, which, name, log_dir_of_module):
    assert_same(seen_with(method, which, log_dir_of_module), name)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("method", "name"), SLOW_CASES)
def test_a_consumer_sees_the_same_in_every_case(method, name, log_dir_of_module):
    assert_same(seen_with(method, "all", log_dir_of_module), name)


def assert_same(seen, name):
    plain, recorded = seen[name]["plain"], seen[name]["recorded"]
    if name == "not in order":
        plain["batches"].sort()
        recorded["batches"].sort()
    assert recorded == plain
    assert seen[name]["records"] > 0, "nothing was recorded, so nothing was compared"
    assert plain["error"] is not None if "raises" in name else "loader untouched" in plain["batches"] or plain["error"] is not None
