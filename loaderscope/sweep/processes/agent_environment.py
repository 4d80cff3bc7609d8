"""The environment and command line with which an interpreter of the user is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_BUNDLE_PREFIXES = ("QT_", "QML", "_PYI_", "_MEIPASS", "PYSIDE")
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH")
_CONDA_FOLDERS = ("", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin")


def is_frozen() -> bool:
    """Whether the app is a bundle, so that `sys.executable` is the app and not an interpreter."""
    return bool(getattr(sys, "frozen", False))


def default_python() -> str | None:
    """The interpreter that runs the app; None for a bundled app, which is no interpreter."""
    return None if is_frozen() else os.path.abspath(sys.executable)


def clean_environment(environment: Mapping[str, str], python: str, frozen: bool, windows: bool) -> dict[str, str]:
    """The user's environment without what the app's own start put there.

    Args:
        environment: the app's environment.
        python: the interpreter to be started.
        frozen: the app is a bundle (PyInstaller keeps the user's library path in `NAME_ORIG`).
        windows: on Windows a conda interpreter misses its DLLs unless its prefix is activated on PATH, and prints to a pipe in
            the code page, which ends a script that prints what the page lacks and a console shows.
    """
    clean = dict(environment)
    clean.pop("__PYVENV_LAUNCHER__", None)  # macOS: makes another interpreter believe that it is the app's venv
    if frozen:
        for name in list(clean):
            if name.startswith(_BUNDLE_PREFIXES) or name in ("PYTHONHOME", "PYTHONPATH"):
                del clean[name]
        for name in _LIBRARY_PATHS:
            original = clean.pop(name + "_ORIG", None)
            clean.pop(name, None)
            if original:
                clean[name] = original
    if windows:
        clean.setdefault("PYTHONIOENCODING", "utf-8")
        prefix = _conda_prefix(Path(python))
        if prefix is not None:
            path = [str(prefix / folder) if folder else str(prefix) for folder in _CONDA_FOLDERS]
            clean["PATH"] = os.pathsep.join([*path, clean.get("PATH", "")])
            clean.setdefault("CONDA_PREFIX", str(prefix))
    return clean


def _conda_prefix(python: Path) -> Path | None:
    """The conda environment that an interpreter of Windows is of, or that its venv was made from; None if there is none."""
    prefix = python.parent
    if not (prefix / "conda-meta").is_dir():
        try:
            lines = (prefix.parent / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return None
        settings = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
        prefix = Path(settings.get("home", ""))
    return prefix if (prefix / "conda-meta").is_dir() else None


def interpreter_environment(python: str) -> dict[str, str]:
    """The environment for a process of the interpreter `python`, on this system and for this app."""
    return clean_environment(os.environ, python, is_frozen(), sys.platform == "win32")
