"""`loaderscope run`: sweeps the settings of a loader into a session file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loaderscope.agent.messages import ErrorInfo
from loaderscope.cli.files import SESSION_SUFFIX, chosen_script
from loaderscope.cli.outcome import UsageError
from loaderscope.cli.printing import add_json_option, print_document, print_error_document
from loaderscope.cli.script_arguments import add_script_argument, announce_look
from loaderscope.cli.sweeping import sweep
from loaderscope.sweep.options import add_run_options, request_from

NAME = "run"
HELP = "sweep the settings of a loader and save a session"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_script_argument(parser)
    parser.add_argument("--target", metavar="NAME", help="what to profile, as `targets` names it, or captured:N (the only one found)")
    output_help = "the session file (the script's name with .loaderscope, in the current folder)"
    parser.add_argument("-o", "--output", metavar="FILE", help=output_help)
    add_json_option(parser)
    add_run_options(parser)


def run(options: argparse.Namespace) -> int:
    script = chosen_script(options)
    name = script.stem if options.module is None else options.module.rpartition(".")[2]
    output = Path(options.output) if options.output else Path(name + SESSION_SUFFIX)
    if output.suffix != SESSION_SUFFIX:
        raise UsageError(f"the name of the output must end in {SESSION_SUFFIX}, {output} does not")
    if options.look is not None and options.target is not None:
        raise UsageError("--look is to find the target, so it cannot be given together with --target")
    announce_look(options)
    status, document = sweep(request_from(options, script, options.script_args), output, options.force)
    if document is not None:
        print_document(document, options.json)
        print(f"Saved as {output}", file=sys.stderr)
    elif options.json:
        print_error_document(ErrorInfo("KeyboardInterrupt", "interrupted before the first trial"))
    return status
