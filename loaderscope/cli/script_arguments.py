"""What the commands that take a SCRIPT have in common: its argument, the script's own arguments after `--`, and the look."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

_ARGUMENTS = argparse.Action([], "script_args", nargs="?", metavar="-- ARGS")
"""Only the usage shows it: `cli/command_line.py` splits the arguments at the dashes before a parser sees them."""


class _Formatter(argparse.HelpFormatter):
    """Adds `[-- ARGS]` to the usage."""

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, [*actions, _ARGUMENTS], groups, prefix)


def add_script_argument(parser: argparse.ArgumentParser) -> None:
    """Adds SCRIPT, and shows in the usage that the script's own arguments follow after `--`."""
    parser.formatter_class = _Formatter
    parser.add_argument("script", metavar="SCRIPT", nargs="?", help="arguments of the script itself follow after --")


def announce_look(options: argparse.Namespace) -> None:
    """Says on standard error for how long `--look` runs the script, if it was given."""
    if options.look is not None:
        name = options.script or options.module
        print(f"{name} runs for {options.look:g} s at most, past all its loaders; it ends before it trains.", file=sys.stderr)
