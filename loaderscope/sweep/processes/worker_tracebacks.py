"""Explains in one sentence why a worker ended while it started, by the traceback that it printed.

Torch only reports that the worker is gone.
"""

from __future__ import annotations

import os
import re

from loaderscope.agent.error_sentences import PAGING_FILE
from loaderscope.agent.messages import ErrorInfo
from loaderscope.agent.notebook_shell import cell_number

_FRAME = re.compile(r'^\s*File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE)
_BOOTSTRAPPING = re.compile(r"before the\s+current process has finished its bootstrapping phase")
_NO_ATTRIBUTE = re.compile(
    r"Can't get attribute '(?P<name>[^']+)' on <module '(?P<module>[^']+)'(?: from '(?P<file>[^']+)'| \(built-in\))?"
)
_NO_COMMIT_CHARGE = re.compile(r"\[WinError 1455\][^\n]*")
_PICKLE_BROKEN_OFF = re.compile(
    r"pickle\.load\(from_parent\)[^\n]*\n(?:[^\n]*\^[^\n]*\n)?(?:EOFError: Ran out of input|_pickle\.UnpicklingError: [^\n]*)"
)
_DEFINING_CELLS = re.compile(r'notebook_shell\.py", line \d+, in define$', re.MULTILINE)
_RAISED = re.compile(r"^\w[\w.]*(?:Error|Exception)\b.*$", re.MULTILINE)
_MAIN_MODULES = ("__main__", "__mp_main__")


def explain(output: str, script: str) -> ErrorInfo | None:
    """Returns the error that a worker's last lines show; None if they show no known one.

    Args:
        output: the last lines that the workers printed to stderr.
        script: path of the user's script.
    """
    if match := _NO_COMMIT_CHARGE.search(output):
        sentence = "Windows could promise no more memory to another worker: use fewer workers or enlarge the paging file"
        return ErrorInfo("limit", f"{sentence} ({match.group()})", output, cause=PAGING_FILE)
    if match := _BOOTSTRAPPING.search(output):
        return _no_main_guard(output, match.start(), script)
    if match := _NO_ATTRIBUTE.search(output):
        return _no_attribute(match, output, script)
    if (match := _DEFINING_CELLS.search(output)) and (error := _no_definitions(output, match.end())) is not None:
        return error
    if _PICKLE_BROKEN_OFF.search(output):
        sentence = (
            "The main process broke off while it sent a worker the dataset; its own error, printed before, tells what cannot be pickled."
        )
        return ErrorInfo("not-picklable", sentence, output)
    return None


def _no_main_guard(output: str, end: int, script: str) -> ErrorInfo:
    frames = [frame for frame in _FRAME.finditer(output[:end]) if frame["function"] == "<module>"]
    in_script = [frame for frame in frames if _is_same_file(frame["file"], script)]
    what = 'starts processes outside of `if __name__ == "__main__":`, so every worker that imports the script would start them again'
    if not in_script:
        return ErrorInfo("main-guard", f"{os.path.basename(script)} {what}: put what starts them below such a guard.", output, script)
    line = int(in_script[-1]["line"])
    return ErrorInfo("main-guard", f"{os.path.basename(script)}, line {line}, {what}: put it below such a guard.", output, script, line)


def _no_attribute(match: re.Match[str], output: str, script: str) -> ErrorInfo:
    name, module = match["name"], match["module"]
    if module not in _MAIN_MODULES:
        sentence = f"A worker finds no {name} in its module {module}: it must stand at the top level there, under that name."
    elif match["file"] is None:
        sentence = f"{name} was defined in a notebook or a console, where workers cannot find it: put it into a .py file and import it."
    else:
        where = "below the main guard or inside a function"
        sentence = (
            f"Workers find no {name} in {os.path.basename(script)}, which they import again: it is made {where}; move it to the top level."
        )
    return ErrorInfo("not-picklable", sentence, output, script if module in _MAIN_MODULES else None)


def _no_definitions(output: str, begin: int) -> ErrorInfo | None:
    """Returns the error of a cell that a worker ran again; None if it cannot be read behind `begin`."""
    raised = _RAISED.search(output, begin)
    frames = [
        frame for frame in _FRAME.finditer(output, begin, raised.end() if raised else begin) if cell_number(frame["file"]) is not None
    ]
    if raised is None or not frames:
        return None
    file, line = frames[-1]["file"], int(frames[-1]["line"])
    sentence = (
        f"A worker cannot define the classes and functions of the notebook: {raised.group()} ({os.path.basename(file)}, line {line}). It "
        "runs only imports, definitions, and plain statements that make what these use: put the dataset into a module and import it."
    )
    return ErrorInfo("not-picklable", sentence, output, file, line)


def _is_same_file(file: str, script: str) -> bool:
    return os.path.normcase(os.path.abspath(file)) == os.path.normcase(os.path.abspath(script))
