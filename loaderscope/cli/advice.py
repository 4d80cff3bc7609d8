"""What to do about a script that cannot be swept, in words of the command line."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from loaderscope.agent.error_sentences import WRONG_ARGUMENTS
from loaderscope.cli.outcome import UsageError

if TYPE_CHECKING:
    from loaderscope.facts.request import Request
    from loaderscope.sweep.ready_agent import SweepError

_NOT_FOUND = re.compile(r"No such file or directory: '(?P<name>[^']+)'")
"""Python's own words, which libraries pass on in exceptions of every class."""


def advised(error: SweepError, request: Request) -> UsageError:
    """The error as a command ends with it, with what to do where that is known."""
    advice = None
    if error.info.kind == "ModuleNotFoundError":
        advice = _interpreter(request)
    elif error.info.cause == WRONG_ARGUMENTS:
        advice = "its own follow after --"
    elif (found := _NOT_FOUND.search(error.info.message)) is not None:
        advice = _folder(found["name"], request)
    return UsageError(str(error) if advice is None else f"{error}; {advice}", error.output)


def _interpreter(request: Request) -> str:
    """A package that is missing is most often in another interpreter: the user's, where this is that of the tool."""
    from loaderscope.sweep.interpreters import nearest_environment
    from loaderscope.sweep.processes.agent_process import default_python

    python = request.python or default_python() or ""
    near = nearest_environment(request.script, python)
    return f"the script runs in {python}, --python names another interpreter" + (f", as {near}" if near is not None else "")


def _folder(name: str, request: Request) -> str | None:
    """For a relative file that lies beside the script, and not where it runs."""
    runs_in, beside = request.cwd or os.getcwd(), os.path.dirname(request.script)
    if os.path.isabs(name) or os.path.exists(os.path.join(runs_in, name)) or not os.path.exists(os.path.join(beside, name)):
        return None
    return f"the script runs in {runs_in}, but that lies beside it: start from {beside}"
