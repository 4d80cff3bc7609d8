"""Builds the small libnvidia-ml of tests/telemetry, which the real pynvml loads."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest

_SOURCES = pathlib.Path(__file__).parent / "telemetry"
_COMPILER = shutil.which("cc") or shutil.which("gcc")


def build(folder: pathlib.Path, *options: str) -> pathlib.Path:
    """Builds it in the folder, which LD_LIBRARY_PATH has to name; returns the folder. Skips the test where there is no compiler."""
    if _COMPILER is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and Linux")
    sources = map(str, sorted(_SOURCES.glob("*.c")))
    subprocess.run([_COMPILER, "-shared", "-fPIC", "-w", *options, "-o", str(folder / "libnvidia-ml.so.1"), *sources], check=True)
    return folder
