"""The environment in which the app starts an interpreter of the user, and the interpreter that it starts by default."""

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
    """The user's environment without the variables that the start of the app has set.

    Args:
        environment: the app's environment.
        python: the interpreter to be started.
        frozen: whether the app is a bundle (PyInstaller keeps the user's library path in `NAME_ORIG`).
        windows: whether the system is Windows. There a conda interpreter finds its DLLs only if its folders are on PATH. And Python
            prints to a pipe in the code page: a character that the page lacks would end a script which a console shows without fault.
    """
    clean = dict(environment)
    clean.pop("__PYVENV_LAUNCHER__", None)  # macOS: it makes another interpreter believe that it is the app's venv
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
    """The folder of the conda environment to which an interpreter on Windows, or the base of its venv, belongs; None if there is none."""
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
    """The environment for a process of the interpreter `python` on this system."""
    return clean_environment(os.environ, python, is_frozen(), sys.platform == "win32")
