"""The command line. Each command imports what it needs when it runs: `--version` is quick, and only what draws loads Qt."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from loaderscope.cli.arguments import parse
from loaderscope.cli.outcome import INTERRUPTED, OK, WRONG_REQUEST, UsageError
from loaderscope.cli.printing import discard_output

_LAST_LINES = 6


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status: 0 all well, 1 some trials failed, 2 wrong request or script, 130 interrupted."""
    _never_fail_to_print()
    try:
        options = parse(list(sys.argv[1:] if argv is None else argv))
        status: int = options.command(options)
    except UsageError as error:
        print(f"loaderscope: {error}", file=sys.stderr)
        for line in error.output.splitlines()[-_LAST_LINES:]:
            print(f"  | {line}", file=sys.stderr)
        return WRONG_REQUEST
    except KeyboardInterrupt:
        print("loaderscope: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # e.g. into `head`: what was asked for was done, nobody reads on
        discard_output()
        return OK
    return status


def _never_fail_to_print() -> None:
    """Neither a stream that the caller has closed (`2>&-`) nor characters that the terminal's encoding lacks may end a sweep."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
