"""A recorded training of each framework prints, learns and ends as without us, and its loader is recorded."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest
from framework_scripts import SCRIPTS, FrameworkScript
from frameworks_python import offline_environment

from loaderscope.session.file import SessionFile

_NUMBER = re.compile(r"\d+(?:[.:,]\d+)*(?:e[+-]?\d+)?")
_BAR = re.compile(r"[━╸╺█▏▎▍▌▋▊▉─ ]+")
_COUNT = re.compile(r"#/#")
"""How often a progress bar is drawn depends on the time."""
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Ended(NamedTuple):
    """A training that has ended: its exit status, what it printed without numbers and progress bars, and its first gradients."""

    status: int
    printed: list[str]
    gradients: list[str]


def run(command: list[str], script: FrameworkScript, folder: pathlib.Path, name: str, variables: Mapping[str, str]) -> Ended:
    """Runs a script in a folder of its own and without what another run has cached, to its end."""
    work, file = folder / name, folder / f"{name}.gradients"
    work.mkdir()
    environment = {**os.environ, **offline_environment(work.with_name(f"{name} caches")), **variables, "GRADIENTS_FILE": str(file)}
    done = subprocess.run([*command, str(script.path)], cwd=work, env=environment, capture_output=True, text=True, check=False)
    lines = [re.split(r"[\r\x08]", _COLOUR.sub("", line))[-1] for line in done.stdout.split("\n")]  # the last state of a redrawn line
    printed = [_BAR.sub(" ", _NUMBER.sub("#", line.replace(str(folder / name), "folder"))).strip() for line in lines]
    return Ended(
        done.returncode,
        [line for line in printed if line and not _COUNT.search(line)],
        file.read_text().splitlines() if file.exists() else [],
    )


def traced_command(interpreter: str, session: pathlib.Path) -> list[str]:
    return [sys.executable, "-m", "loaderscope", "trace", "--python", interpreter, "-o", str(session)]


def for_each(scripts: list[FrameworkScript]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a test that runs once for each of these scripts."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        parametrized = pytest.mark.parametrize("script", scripts, ids=lambda script: script.name)(test)
        return pytest.mark.frameworks(pytest.mark.timeout(600)(parametrized))

    return mark


def assert_same(interpreter: str, script: FrameworkScript, folder: pathlib.Path, variables: Mapping[str, str]) -> pathlib.Path:
    """Holds a recorded run against a plain one, and returns its session."""
    session = folder / "recorded.loaderscope"
    plain = run([interpreter], script, folder, "plain", variables)
    recorded = run(traced_command(interpreter, session), script, folder, "recorded", variables)
    if recorded.gradients != plain.gradients:
        again = run([interpreter], script, folder, "again", variables)
        if again.gradients != plain.gradients:
            pytest.skip("two plain runs of this script differ from each other")
    assert recorded == plain
    return session


@for_each(list(SCRIPTS))
def test_a_recorded_training_is_as_without_us(script, interpreter, folder):
    session = assert_same(interpreter, script, folder, {})
    if script.loader is None:
        assert not session.exists()
        return
    with SessionFile.open(session) as opened:
        results = opened.results
    lines = script.path.read_text("utf-8").splitlines()
    made = [(result, *(result.loader.made or "").rpartition(":")[::2]) for result in results]
    own = [result for result, file, line in made if file == str(script.path) and script.loader.made in lines[int(line) - 1]]
    assert own, [result.loader for result in results]
    assert max(result.batches for result in own) > 0


FEW = ("plain_gan", "accelerate_prepare", "lightning_fit", "transformers_train", "timm_prefetcher", "torchdata_stateful")


@pytest.mark.parametrize("workers", ["2 fork", "2 spawn"])
@for_each([script for script in SCRIPTS if script.name in FEW])
def test_it_learns_the_same_with_workers(script, interpreter, folder, workers):
    assert_same(interpreter, script, folder, {"LOADER_WORKERS": workers})
