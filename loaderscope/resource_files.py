"""Finds the files that ship with the program: examples, icons, photographs."""

from __future__ import annotations

from pathlib import Path


def resource_folder() -> Path:
    """Returns the folder `resources`: inside the installed package, or beside the package in a checkout."""
    package = Path(__file__).parent
    installed = package / "resources"
    return installed if installed.is_dir() else package.parent / "resources"
