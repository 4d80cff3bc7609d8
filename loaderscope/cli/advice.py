"""Adds to an error what the user can do about it, in words of the command line."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from loaderscope.agent.error_sentences import STANDARD_INPUT, WRONG_ARGUMENTS
from loaderscope.cli.outcome import UsageError

if TYPE_CHECKING:
    from loaderscope.facts.request import Request
    from loaderscope.sweep.ready_agent import SweepError

_NOT_FOUND = re.compile(r"No such file or directory: '(?P<name>[^']+)'")
"""Python's own words, which libraries pass on in exceptions of every class."""


def with_advice(error: SweepError, request: Request) -> UsageError:
    """Returns the error that ends the command, with advice if there is any for its cause."""
    advice = None
    if error.info.kind == "ModuleNotFoundError":
        advice = _interpreter_advice(request)
    elif error.info.cause == WRONG_ARGUMENTS:
        advice = "its own follow after --"
    elif error.info.cause == STANDARD_INPUT:
        advice = "have it take the answer from an argument (they follow after --) or a default"
    elif (match := _NOT_FOUND.search(error.info.message)) is not None:
        advice = _folder_advice(match["name"], request)
    return UsageError(str(error) if advice is None else f"{error}; {advice}", error.output, error.info)


def _interpreter_advice(request: Request) -> str:
    """A missing package is most often installed in another interpreter: the script ran in the tool's, not in the user's."""
    from loaderscope.sweep.interpreters import nearest_environment
    from loaderscope.sweep.processes.agent_environment import default_python

    python = request.python or default_python() or ""
    environment = nearest_environment(request.script, python)
    return f"the script runs in {python}, --python names another interpreter" + (f", as {environment}" if environment is not None else "")


def _folder_advice(name: str, request: Request) -> str | None:
    """Returns advice if a relative file is missing where the script runs, but exists beside the script."""
    working_folder, script_folder = request.cwd or os.getcwd(), os.path.dirname(request.script)
    if os.path.isabs(name) or os.path.exists(os.path.join(working_folder, name)):
        return None
    if not os.path.exists(os.path.join(script_folder, name)):
        return None
    return f"the script runs in {working_folder}, but that lies beside it: start from {script_folder}, or give that as --cwd"
