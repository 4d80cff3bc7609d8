"""Runs a collection of scripts through the command line: what is wrong is found, and nothing that is not wrong.

The table of all of them, on a machine that has nothing else to do:

    pytest -s -m slow tests/pathologies/test_pathologies.py

and beside a busy loop on each core, where much is missed, but nothing wrong may be said:

    pytest -s -m slow --beside-load tests/pathologies/test_pathologies.py
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from collection import HEALTHY, SICK, Pathology

LEAST_FOUND_SHARE = 0.95
TIMEOUT_S = 240.0
_GRAVE = ("error", "warning")
_OF_THE_MACHINE = "disturbed"
"""It is about other programs on this machine, not about the script."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the command said of a script.

    Attributes:
        severities: of all findings, by their codes.
        seconds: that the command took.
        complaint: the end of standard error.
    """

    severities: dict[str, str]
    seconds: float
    complaint: str

    def is_right(self, row: Pathology) -> bool:
        """Whether one of the expected codes is found, whatever its severity."""
        return any(code in self.severities for code in row.expected)

    def wrong_codes(self, row: Pathology) -> list[str]:
        """The warnings and errors that are not right about this script."""
        right = {*row.expected, *row.beside, _OF_THE_MACHINE}
        return sorted(code for code, severity in self.severities.items() if severity in _GRAVE and code not in right)


@functools.cache
def _can_mount() -> bool:
    """Whether this user may mount a /dev/shm of its own."""
    try:
        return subprocess.run(_with_shared_memory("1m", ["true"]), capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _with_shared_memory(size: str, command: list[str]) -> list[str]:
    """The command with a /dev/shm of its own, in a namespace of Linux."""
    return ["unshare", "-Urm", "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"', "sh", *command]


def answer_to(row: Pathology, folder: pathlib.Path, *more: str) -> Answer:
    """Runs Loaderscope on a script, as a user does, in an empty folder."""
    command = [sys.executable, "-m", "loaderscope", row.command, str(row.path), "--json", *row.options, *more]
    if row.shared_memory is not None:
        command = _with_shared_memory(row.shared_memory, command)
    began_s = time.monotonic()
    with (folder / "out.json").open("w+") as out, (folder / "err.txt").open("w+") as err:
        subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=TIMEOUT_S, check=False)
        out.seek(0)
        err.seek(0)
        told, complaint = out.read(), err.read()[-2000:]
    try:
        document: dict[str, Any] = json.loads(told)
    except ValueError:
        raise AssertionError(f"no document: {told[-500:]}\n{complaint}") from None
    found = {finding["code"]: finding["severity"] for finding in reversed(document["findings"])}  # the gravest of each code stays
    return Answer(found, time.monotonic() - began_s, complaint)


@pytest.fixture(scope="module")
def load(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Keeps all cores busy if asked for; whether it does."""
    is_asked = request.config.getoption("--beside-load")
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() or 1 if is_asked else 0):
            burner = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(burner.kill)
        yield is_asked


@pytest.fixture(scope="module")
def tally() -> dict[bool, list[str]]:
    """The rows with something wrong that ran, by whether it was found."""
    return collections.defaultdict(list)


def _checked(row: Pathology, folder: pathlib.Path, is_loaded: bool) -> Answer:
    """Runs a row, prints its line of the table, and asserts that nothing wrong is said."""
    if row.library is not None and importlib.util.find_spec(row.library) is None:
        pytest.skip(f"needs {row.library}")
    if row.shared_memory is not None and not _can_mount():
        pytest.skip("cannot mount a small /dev/shm")
    # a load that lasts disturbs each repeat as well
    answer = answer_to(row, folder, *(("--repeat-disturbed", "0") if is_loaded and row.command == "run" else ()))
    found = ", ".join(f"{code} ({severity})" for code, severity in answer.severities.items()) or "nothing"
    wrong = answer.wrong_codes(row)
    mark = "WRONG" if wrong else "ok" if not row.expected or answer.is_right(row) else "missed"
    print(f"\n{mark:6} {row.name:22} {answer.seconds:5.1f} s  {' or '.join(row.expected) or 'healthy':22} {found}", flush=True)
    assert not wrong, f"wrong: {wrong}; found: {found}\n{answer.complaint}"
    return answer


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 30)
@pytest.mark.parametrize("row", SICK, ids=lambda row: row.name)
def test_nothing_wrong_is_said_of_what_is_wrong(row: Pathology, tmp_path: pathlib.Path, load: bool, tally: dict[bool, list[str]]) -> None:
    tally[_checked(row, tmp_path, load).is_right(row)].append(row.name)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 30)
@pytest.mark.parametrize("row", HEALTHY, ids=lambda row: row.name)
def test_a_healthy_script_gets_no_warning(row: Pathology, tmp_path: pathlib.Path, load: bool) -> None:
    _checked(row, tmp_path, load)


@pytest.mark.slow
def test_nearly_all_is_found(load: bool, tally: dict[bool, list[str]]) -> None:
    """Of the scripts above that ran. Beside load it only prints what is missed."""
    found, missed = tally[True], tally[False]
    print(f"\nfound {len(found)} of {len(found) + len(missed)}; missed: {', '.join(missed) or 'none'}")
    assert load or len(found) >= LEAST_FOUND_SHARE * (len(found) + len(missed))


def test_every_script_has_a_row_and_every_row_a_script() -> None:
    for rows, kind in ((SICK, "sick"), (HEALTHY, "healthy")):
        scripts = {path.stem for path in (pathlib.Path(__file__).parent / kind).glob("*.py")}
        assert scripts == {row.script for row in rows}
    names = [row.name for row in (*SICK, *HEALTHY)]
    assert len(names) == len(set(names))
