"""The command line. Each command imports what it needs when it runs: `--version` is quick, and only what draws loads Qt."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from loaderscope.cli.arguments import parse
from loaderscope.cli.outcome import INTERRUPTED, OK, WRONG_REQUEST, UsageError

_LAST_LINES = 6


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status: 0 all well, 1 some trials failed, 2 wrong request or script, 130 interrupted."""
    _never_fail_to_print()
    try:
        options = parse(list(sys.argv[1:] if argv is None else argv))
        status: int = options.command(options)
        sys.stdout.flush()
    except UsageError as error:
        print(f"loaderscope: {error}", file=sys.stderr)
        for line in error.output.splitlines()[-_LAST_LINES:]:
            print(f"  | {line}", file=sys.stderr)
        return WRONG_REQUEST
    except KeyboardInterrupt:
        print("loaderscope: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # e.g. into `head`: what was asked for was done, nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return status


def _never_fail_to_print() -> None:
    """Characters that the terminal's encoding lacks must not end a sweep."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
