"""Shared by all tests: Qt without a display, and the helpers of this folder (`import synthetic`)."""

import os
import pathlib
import sys

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before anything imports Qt
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import hypothesis
import synthetic

# the same examples in every run, so that a run says something of what was changed; `--hypothesis-profile search` tries others
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("search", derandomize=False)
hypothesis.settings.load_profile("same")


TESTS_AT_ONCE = 3
"""Most tests wait for programs that they start; more at once would fight for the cores of a small machine."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Runs the whole suite in several processes, unless the command line chooses tests, or how to run and show them."""
    options = config.option
    if hasattr(config, "workerinput") or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    if options.numprocesses is None and options.capture != "no" and not (options.usepdb or options.collectonly):
        options.numprocesses, options.dist = TESTS_AT_ONCE, "worksteal"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-images", action="store_true", help="store the pictures that are painted now in tests/gui/images")
    parser.addoption("--renew-contracts", action="store_true", help="store the JSON keys and helps of now in tests/cli/contracts")
    parser.addoption("--beside-load", action="store_true", help="run the pathologies beside a busy loop on each core")


@pytest.fixture
def log_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    """An empty folder for event logs."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def make_trace():
    """`synthetic.make_trace`."""
    return synthetic.make_trace


@pytest.fixture
def simulate():
    """`synthetic.simulate`."""
    return synthetic.simulate
