"""The program as a user starts it, in a real X window: what is on the screen, and that closing it leaves nothing behind."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from running import marked_by, nothing_left_of, until, write_script
from x_display import XDisplay, pixels_of, why_none, x_display

from loaderscope.gui.style.palette import PALETTES

pytestmark = pytest.mark.skipif(why_none() is not None, reason=str(why_none()))

WINDOW_TIMEOUT_S = 30.0
SWEEP_TIMEOUT_S = 60.0
CLOSING_TIMEOUT_S = 20.0
DRAWN_PIXELS = 3000
"""Far more of a colour than its swatch in the legend has."""

SCRIPT = """
    from torch.utils.data import DataLoader
    loader = DataLoader(list(range(100)), batch_size=4)
"""


class Program:
    """A started program and what it says."""

    def __init__(self, display: XDisplay, folder: pathlib.Path, *arguments: str) -> None:
        self.display = display
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self._said = folder / "said.txt"
        environment = display.environment(folder) | {"TMPDIR": str(self.temporary)}
        with self._said.open("wb") as said:
            command = [sys.executable, "-m", "loaderscope", *arguments]
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)

    @property
    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def window(self, title: str) -> int:
        """The window whose title has this word in it, once it can be seen."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [window for window in self.display.windows() if title in self.display.title(window)]
            return bool(found) or self.process.poll() is not None

        assert until(look, WINDOW_TIMEOUT_S), self.said
        assert found, self.said
        return found[0]

    def ended_well(self) -> bool:
        """Whether it ends by itself, without a complaint, leaving neither a process nor a file behind."""
        status = self.process.wait(CLOSING_TIMEOUT_S)
        assert (status, self.said) == (0, "")
        assert nothing_left_of(self.process.pid)
        return not [name for name in os.listdir(self.temporary) if "loaderscope" in name]  # torch leaves a cache of its own


@pytest.fixture(scope="module")
def display():
    with x_display() as display:
        yield display


@pytest.fixture
def start(display, tmp_path):
    started: list[Program] = []

    def start(*arguments: str) -> Program:
        started.append(Program(display, tmp_path, *arguments))
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()


def test_the_demo_is_seen_at_work_and_a_request_to_terminate_ends_all_of_it(display, start):
    program = start("demo")
    program.window("Loaderscope")
    fetch, step = ({getattr(palette, role) for palette in PALETTES.values()} for role in ("fetch", "step"))

    def drawn(colours: set[str]) -> bool:
        picture = display.picture()
        return max(pixels_of(picture, colour) for colour in colours) > DRAWN_PIXELS

    def done() -> bool:
        return program.process.poll() is not None or (drawn(fetch) and drawn(step))

    assert until(done, SWEEP_TIMEOUT_S, every_s=0.2), program.said
    trials = marked_by(program.process.pid)
    assert trials, "the timeline is filled while a trial runs"
    counts = np.unique(display.picture(), return_counts=True)[1]
    assert len(counts) > 100
    assert counts.max() < 0.9 * counts.sum(), "the screen is not nearly of one colour"

    program.process.send_signal(signal.SIGTERM)
    assert program.ended_well()
    assert not any(psutil.pid_exists(process.pid) and process.is_running() for process in trials)


def test_the_button_of_the_window_manager_closes_it(display, start, tmp_path):
    program = start(str(write_script(tmp_path, SCRIPT)))
    window = program.window("Loaderscope")
    display.ask_to_close(window)
    assert program.ended_well()
    assert display.windows() == []
