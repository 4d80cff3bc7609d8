"""`loaderscope targets`: lists what a script offers to profile."""

from __future__ import annotations

import argparse
import sys

from loaderscope import __version__
from loaderscope.cli.advice import with_advice
from loaderscope.cli.files import chosen_script
from loaderscope.cli.outcome import OK, UsageError
from loaderscope.cli.printing import add_json_option, print_json, print_page
from loaderscope.cli.script_arguments import add_script_argument, announce_look
from loaderscope.sweep.options import add_script_options

NAME = "targets"
HELP = "list what a script offers to profile"


def add_options(parser: argparse.ArgumentParser) -> None:
    add_script_argument(parser)
    add_script_options(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    from loaderscope.cli.terminal.console import UNLIMITED_COLUMNS
    from loaderscope.cli.terminal.targets_table import TargetsTable, loaders_section
    from loaderscope.facts.captured import captured_document, met_document
    from loaderscope.facts.request import Request, default_cwd
    from loaderscope.sweep.inspect_script import SweepError, inspect_script

    script = chosen_script(options)
    request = Request(
        script=str(script),
        module=options.module,
        script_args=tuple(options.script_args),
        arguments=dict(options.arg),
        environment_variables=dict(options.env),
        python=options.python,
        cwd=options.cwd or default_cwd(str(script)),
        load_timeout_s=options.load_timeout,
        look_s=options.look,
    )
    announce_look(options)
    try:
        inspected = inspect_script(request)
    except SweepError as error:
        raise with_advice(error, request) from error
    if options.json:
        document = {"loaderscope": __version__, "schema": 1, "script": str(script), "environment": inspected.environment}
        targets = [target.to_json() | {"captured": captured_document(target.captured)} for target in inspected.targets]
        loaders = None if inspected.looked_at is None else met_document(inspected.looked_at)
        print_json(document | {"targets": targets, "loaders": loaders, "notes": inspected.notes})
        return OK
    for note in inspected.notes:
        print(f"loaderscope: {note}", file=sys.stderr)
    if options.look is not None:
        print_page(loaders_section(inspected.looked_at), UNLIMITED_COLUMNS)
    if not inspected.targets:
        raise UsageError(
            f"{options.script or options.module} offers nothing to profile: no Dataset, no DataLoader, and no function that returns one"
        )
    print_page(TargetsTable(inspected.targets), UNLIMITED_COLUMNS)
    return OK
