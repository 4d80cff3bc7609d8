"""Runs the command line as a user does, in a process of its own, and tells which modules it imported."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import subprocess
import sys
import textwrap
from typing import Any

from agent_interpreter import CHOSEN_PYTHON

# As the installed entry point, but at the end the names of all imported packages go to the file named first.
WRAPPER = """
import sys
from loaderscope.cli import main
report = sys.argv.pop(1)
try:
    status = main()
except SystemExit as ended:
    status = ended.code
with open(report, "w") as file:
    file.write(" ".join({name.partition(".")[0] for name in sys.modules}))
sys.exit(status)
"""

SMALL = """
    import time
    from torch.utils.data import DataLoader, Dataset

    class Numbers(Dataset):
        def __len__(self):
            return 48
        def __getitem__(self, index):
            time.sleep(0.001)
            return index

    numbers = Numbers()
"""


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str
    packages: set[str]

    @property
    def document(self) -> dict[str, Any]:
        """Standard output, which must be one JSON document."""
        found: dict[str, Any] = json.loads(self.stdout, parse_constant=_no_constant)
        return found


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def command(folder: pathlib.Path, *arguments: str) -> list[str]:
    """The command to start, which leaves its list of packages in `folder`."""
    return [sys.executable, "-c", WRAPPER, str(folder / "packages.txt"), *_as_planned(in_the_chosen_interpreter(arguments))]


def in_the_chosen_interpreter(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments of a command, whose agents run in the interpreter that was chosen for tests unless the test names one itself."""
    if CHOSEN_PYTHON is None or not arguments or arguments[0] not in ("targets", "run") or "--python" in arguments:
        return arguments
    return (arguments[0], "--python", CHOSEN_PYTHON, *arguments[1:])


def _as_planned(arguments: tuple[str, ...]) -> list[str]:
    """The arguments so that a sweep has the trials of its plan alone, however busy the machine of the test."""
    return [arguments[0], "--repeat-disturbed", "0", "--no-probe-trial", *arguments[1:]] if arguments[:1] == ("run",) else list(arguments)


def loaderscope(folder: pathlib.Path, *arguments: str, timeout_s: float = 110, **environment: str) -> Done:
    """Runs one command with `folder` as the current one."""
    done = subprocess.run(
        command(folder, *arguments),
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout_s,
        check=False,
    )
    report = folder / "packages.txt"
    packages = set(report.read_text().split()) if report.exists() else set()
    report.unlink(missing_ok=True)
    return Done(done.returncode, done.stdout, done.stderr, packages)


def in_this_process(folder: pathlib.Path, *arguments: str, **environment: str) -> Done:
    """Runs one command as `loaderscope` does, without the start of a process: for what a command says, not for how it comes up."""
    from loaderscope.cli import main

    told, complained = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    before, began_in = {name: os.environ.get(name) for name in environment}, os.getcwd()
    os.environ.update(environment)
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(complained):
            try:
                status: Any = main(_as_planned(in_the_chosen_interpreter(arguments)))
            except SystemExit as ended:
                status = ended.code
    finally:
        os.chdir(began_in)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    for stream in (told, complained):
        stream.seek(0)
    return Done(status, told.read(), complained.read(), set())


def write_script(folder: pathlib.Path, text: str, name: str = "script.py") -> pathlib.Path:
    """A script in `folder`."""
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path
