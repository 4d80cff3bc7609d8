"""The command line. Each command imports what it needs when it runs: `--version` is quick, and only what draws loads Qt."""

from __future__ import annotations

import os
import sys

_SCRIPT_OUTPUT_LINES = 6
"""The last lines of the script's output that follow an error."""


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    0: all is well. 1: some trials failed. 2: the request or the script is wrong, or every setting was skipped. 130: interrupted.
    """
    try:
        return _run_command(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        print("loaderscope: interrupted", file=sys.stderr)
        return 130


def _run_command(arguments: list[str]) -> int:
    """Imports here what other modules import at their top, so that Ctrl+C is as quiet during imports as later."""
    _make_streams_writable()
    from loaderscope.cli.command_line import parse
    from loaderscope.cli.outcome import OK, WRONG_REQUEST, UsageError
    from loaderscope.cli.printing import discard_output, print_error_document

    options = None
    try:
        options = parse(list(arguments))
        status: int = options.command(options)
    except UsageError as error:
        print(f"loaderscope: {error}", file=sys.stderr)
        for line in error.output.splitlines()[-_SCRIPT_OUTPUT_LINES:]:
            print(f"  | {line}", file=sys.stderr)
        if getattr(options, "json", False):
            print_error_document(error.info)
        return WRONG_REQUEST
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
