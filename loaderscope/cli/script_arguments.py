"""How the help of a command shows that the script's own arguments follow after `--`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

_ARGUMENTS = argparse.Action([], "script_args", nargs="?", metavar="-- ARGS")
"""Only the usage shows it: `cli/command_line.py` splits the arguments at the dashes before a parser sees them."""


class ScriptArgumentsFormatter(argparse.HelpFormatter):
    """Adds `[-- ARGS]` to the usage."""

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, [*actions, _ARGUMENTS], groups, prefix)
