"""The interpreter in which tests start agents, and what its torch can do.

It is the one that runs the tests, or the one that LOADERSCOPE_TEST_PYTHON names: agents run in the user's interpreter, which may be
older than the app's, and hold another torch.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import pytest

VARIABLE = "LOADERSCOPE_TEST_PYTHON"
CHOSEN_PYTHON = os.environ.get(VARIABLE) or None
"""The interpreter that the variable names; None if it is not set."""
AGENT_PYTHON = CHOSEN_PYTHON or sys.executable


@functools.cache
def value_in_agent(expression: str) -> str:
    """The text of an expression's value in the agent's interpreter; the expression may use `sys` and `torch`."""
    code = f"import sys, torch, torch.utils.data\nprint({expression})"
    return subprocess.run([AGENT_PYTHON, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def needs(expression: str, reason: str) -> pytest.MarkDecorator:
    """Skips a test where an expression is false in the agent's interpreter; where no interpreter is chosen it is taken to be true."""
    return pytest.mark.skipif(CHOSEN_PYTHON is not None and value_in_agent(f"bool({expression})") != "True", reason=reason)
