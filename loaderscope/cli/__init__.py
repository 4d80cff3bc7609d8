"""The command line. Each command imports what it needs when it runs: `--version` is quick, and only what draws loads Qt."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from loaderscope.cli.command_line import parse
from loaderscope.cli.outcome import INTERRUPTED, OK, WRONG_REQUEST, UsageError
from loaderscope.cli.printing import discard_output

_SCRIPT_OUTPUT_LINES = 6
"""The last lines of the script's output that follow an error."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0 all well, 1 some trials failed, 2 wrong request or script, 130 interrupted."""
    _make_streams_writable()
    try:
        options = parse(list(sys.argv[1:] if argv is None else argv))
        status: int = options.command(options)
    except UsageError as error:
        print(f"loaderscope: {error}", file=sys.stderr)
        for line in error.output.splitlines()[-_SCRIPT_OUTPUT_LINES:]:
            print(f"  | {line}", file=sys.stderr)
        return WRONG_REQUEST
    except KeyboardInterrupt:
        print("loaderscope: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has read enough: the command has done its work
        discard_output()
        return OK
    return status


def _make_streams_writable() -> None:
    """Lets no print end a sweep: not into a stream that the caller has closed (`2>&-`), not a character that the encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
