"""Describes why the script failed, and says by a cause what its run lacks here: standard input, or the variables that torchrun sets."""

from __future__ import annotations

import ast
import dataclasses
import linecache
import os
import traceback
from types import FrameType
from typing import AbstractSet, Iterator, List, Optional

from . import no_input
from .error_sentences import (
    EXIT_STATUS,
    STANDARD_INPUT,
    TORCHRUN_VARIABLES,
    WRONG_ARGUMENTS,
    AgentError,
    describe,
    is_user_file,
    text_of,
    user_place,
)
from .messages import ErrorInfo

TORCHRUN_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The environment variables of torchrun that scripts ask for."""

_USAGE_EXIT = 2  # of argparse, and of parsers that follow it, for wrong arguments
_END_OF_INPUT = "EOF when reading a line"
"""Python's words where `input()` meets the end of standard input."""


def describe_exit(error: BaseException, not_reached: str, folder: str) -> ErrorInfo:
    """Describes the exception that ended the script.

    Args:
        error: the exception; `SystemExit` where the script ended itself.
        not_reached: what the script had not reached then ("before ...").
        folder: the working folder in which the script was started.
    """
    info = describe_failure(error)
    if isinstance(error, SystemExit) and info.cause not in (STANDARD_INPUT, TORCHRUN_VARIABLES):
        info = _system_exit(error, not_reached)
    left_folder = next(filter(None, (_left_folder(one, folder) for one in _chain(error))), "")
    return dataclasses.replace(info, message=info.message + left_folder + _read_input(info))


def describe_failure(error: BaseException) -> ErrorInfo:
    """Describes an exception of the script, or of a function of the script."""
    if isinstance(error, AgentError):  # described already
        return error.info
    chain = list(_chain(error))
    asking = next((one for one in chain if _input_call(one)), None)
    if asking is not None:
        return _no_input(asking, chain)
    info = describe(error)
    if any(_asks_for_torchrun(one) for one in chain):
        return dataclasses.replace(info, cause=TORCHRUN_VARIABLES)
    return info


def _system_exit(error: SystemExit, not_reached: str) -> ErrorInfo:
    """Describes that the script ended itself; where `EXIT_STATUS` or `WRONG_ARGUMENTS` is the cause, its output says why."""
    place = user_place(error.__traceback__)
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    code = error.code if error.code is not None else 0
    at = "the script" if place is None else "%s, line %d:" % (os.path.basename(place.file), place.line)
    message, cause = "%s sys.exit(%r) ended the script %s" % (at, code, not_reached), None
    reason = None if error.__suppress_context__ else error.__context__
    if code == _USAGE_EXIT:
        message, cause = message + "; the arguments that it was given are not those that it needs", WRONG_ARGUMENTS
    elif code and isinstance(reason, Exception) and not hasattr(reason, "exit_code"):  # click's own exceptions have one: it reports them
        message = "%s: %s" % (message, describe(reason).message)
    elif code and isinstance(code, int):
        cause = EXIT_STATUS
    file, line = (None, None) if place is None else (os.path.abspath(place.file), place.line)
    return ErrorInfo("SystemExit", message, text, file, line, cause=cause)


def _left_folder(error: BaseException, folder: str) -> str:
    """Says that a file is missing because the script has left its working folder, as under Hydra; empty if that is not so."""
    if not isinstance(error, FileNotFoundError) or not isinstance(error.filename, str) or os.path.isabs(error.filename):
        return ""
    if os.path.exists(error.filename) or not os.path.exists(os.path.join(folder, error.filename)):
        return ""
    return "; %s is in %s, but the script has changed its working folder to %s" % (error.filename, folder, os.getcwd())


def _read_input(info: ErrorInfo) -> str:
    """Says that the script has read standard input before it failed; empty if it has not, or if the error says it."""
    place = no_input.first_read()
    if place is None or info.cause == STANDARD_INPUT:
        return ""
    return "; the script reads standard input before that (%s), and gets none here" % str(place)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those during whose handling it was raised, the latest first."""
    seen: List[BaseException] = []
    one: Optional[BaseException] = error
    while one is not None and not any(one is other for other in seen):
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__


def _innermost_frame(error: BaseException) -> Optional[FrameType]:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1] if frames else None


def _input_call(error: BaseException) -> str:
    """What asked for input, if the exception says that there is none; else empty."""
    frame = _innermost_frame(error)
    module = None if frame is None else frame.f_globals.get("__name__")
    if isinstance(error, EOFError):
        if module == "getpass":
            return "getpass()"
        return "input()" if text_of(error) == _END_OF_INPUT else ""  # other ends of files have other words
    return "breakpoint()" if module in ("bdb", "pdb") and (type(error).__name__ == "BdbQuit" or isinstance(error, SystemExit)) else ""


def _no_input(asking: BaseException, chain: List[BaseException]) -> ErrorInfo:
    """Describes that the script asked for input. Libraries of prompts replace the exception `asking` by those before it in `chain`."""
    places = (user_place(one.__traceback__) for one in reversed(chain[: chain.index(asking) + 1]))
    place = next((place for place in places if place is not None), None)
    head = "the script" if place is None else "%s," % str(place)
    message = "%s asks for input (%s), and gets none here" % (head, _input_call(asking))
    text = "".join(traceback.format_exception(type(chain[0]), chain[0], chain[0].__traceback__))
    file, line = (None, None) if place is None else (os.path.abspath(place.file), place.line)
    return ErrorInfo(type(asking).__name__, message, text, file, line, cause=STANDARD_INPUT)


def _asks_for_torchrun(error: BaseException) -> bool:
    """Whether an exception of Python, of torch.distributed or of the user's own code says that a variable of torchrun is missing."""
    missing = {name for name in TORCHRUN_NAMES if name not in os.environ}
    frame = _innermost_frame(error)
    if frame is None or not missing:
        return False
    module = frame.f_globals.get("__name__")
    if isinstance(error, KeyError):
        return module == "os" and error.args[0] in missing
    if module == "torch.distributed.rendezvous":  # torch 2.13: a ValueError names the variable that is not set
        return isinstance(error, ValueError)
    return is_user_file(frame.f_code.co_filename) and _line_names(error, missing)


def _line_names(error: BaseException, names: AbstractSet[str]) -> bool:
    """Whether the statement that raised the exception names one of `names`, as `int(os.environ.get("RANK"))` does.

    For a statement that only reports (`raise`, `sys.exit`), the conditions on which it is reached count, too.
    """
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    try:
        tree = ast.parse("".join(linecache.getlines(frame.f_code.co_filename)))
    except (SyntaxError, ValueError):  # the file was changed after Python had read it
        return False
    around = [
        node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]  # from the outside inwards
    if not around:
        return False
    raising = around[-1]
    parts: List[ast.AST] = [raising.test] if isinstance(raising, (ast.If, ast.While)) else [] if hasattr(raising, "body") else [raising]
    if isinstance(raising, ast.Raise) or isinstance(error, SystemExit):
        parts += [node.test for node in around if isinstance(node, ast.If)]
    constants = (node.value for part in parts for node in ast.walk(part) if isinstance(node, ast.Constant))
    return any(isinstance(value, str) and value in names for value in constants)
