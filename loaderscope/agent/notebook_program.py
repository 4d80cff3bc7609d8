"""Runs the cells of a notebook as the main program of this process."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import types
from typing import Any, Optional

from .notebook import NotebookError, read_notebook
from .notebook_code import NotebookCode

_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


def run(path: str) -> None:
    """Runs a notebook; an exception of a cell passes on, to be printed without our part of the stack.

    Raises:
        SystemExit: the file is no notebook.
    """
    try:
        with open(path, encoding="utf-8") as file:
            notebook = read_notebook(file.read())
    except (NotebookError, OSError, UnicodeDecodeError) as error:
        sys.exit("%s %s" % (os.path.basename(path), error))
    code = NotebookCode(path, notebook)
    for note in notebook.notes:
        sys.stderr.write("loaderscope: %s\n" % note)
    code.let_workers_import_definitions(_temporary_folder())
    module = types.ModuleType("__main__")
    module.__spec__ = None
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _print_without_our_frames
    code.run(module.__dict__)


def _temporary_folder() -> str:
    """A folder for what workers import, which this process removes; the app may end before."""
    folder, owner = tempfile.mkdtemp(prefix="loaderscope-notebook-"), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _print_without_our_frames(kind: Any, error: BaseException, trace: Optional[types.TracebackType]) -> None:
    while trace is not None and os.path.abspath(trace.tb_frame.f_code.co_filename).startswith(_FOLDER):
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)
