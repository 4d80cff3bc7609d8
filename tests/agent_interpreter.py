"""The interpreter in which tests start agents, and what it and its torch can do.

It is the one that runs the tests, or the one that LOADERSCOPE_TEST_PYTHON names: agents run in the user's interpreter, which may be
older than the app's and hold another torch.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from typing import Any

import pytest

CHOSEN_PYTHON = os.environ.get("LOADERSCOPE_TEST_PYTHON") or None
"""The interpreter that the variable names; None if it is not set."""
AGENT_PYTHON = CHOSEN_PYTHON or sys.executable

_PROGRAM = "import json, sys, torch, torch.utils.data; print(json.dumps(eval(sys.argv[1])))"


@functools.cache
def value_in_agent(expression: str) -> Any:
    """The value of an expression in the agent's interpreter, as JSON carries it; the expression may use `sys` and `torch`."""
    command = [AGENT_PYTHON, "-c", _PROGRAM, expression]
    return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


def needs(expression: str, reason: str) -> pytest.MarkDecorator:
    """Skips a test where an expression is false in the chosen interpreter; the one that runs the tests is taken to have all features."""
    return pytest.mark.skipif(CHOSEN_PYTHON is not None and not value_in_agent(f"bool({expression})"), reason=reason)


needs_in_order = needs("hasattr(torch.utils.data.DataLoader([]), 'in_order')", "this torch has no in_order")
