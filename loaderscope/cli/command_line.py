"""The parser of the command line, assembled from the modules of the commands."""

from __future__ import annotations

import argparse
from typing import NoReturn, Protocol

from loaderscope import __version__
from loaderscope.cli.commands import demo, doctor, open_window, report, run, show, targets, trace
from loaderscope.cli.outcome import WRONG_REQUEST, UsageError
from loaderscope.cli.printing import print_error_document


class Command(Protocol):
    """What each module of `cli.commands` has.

    Attributes:
        NAME: what a user types.
        HELP: what the command does, in the list of commands and above its options.
    """

    NAME: str
    HELP: str

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's own options."""

    def run(self, options: argparse.Namespace) -> int:
        """Runs the command and returns its exit status."""


COMMANDS: tuple[Command, ...] = (open_window, demo, targets, run, trace, show, report, doctor)
"""In the order in which the help lists them."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """Returns a command's options, with the function that runs it as `command` and the script's own arguments as `script_args`."""
    arguments, script_args = _split_at_dashes(arguments)
    parser, command_parsers = _make_parsers()
    for one in (parser, *command_parsers.values()):
        one.reports_as_json = "--json" in arguments
    if not arguments or arguments[0] not in (*command_parsers, "-h", "--help", "--version"):
        arguments = [open_window.NAME, *arguments]
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        command_parsers[arguments[0]].error(_unknown_arguments_sentence(unknown, options))
    options.script_args = script_args
    return options


def _split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Returns the arguments before the first `--`, and those after it, which belong to the script."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _unknown_arguments_sentence(unknown: list[str], options: argparse.Namespace) -> str:
    if options.command is open_window.run and options.path is not None:
        open_window.existing_path(options.path)  # a path that does not exist is most often a misspelt command
    own = "; those of the script itself follow after --" if hasattr(options, "script") else ""
    return f"unrecognized arguments: {' '.join(unknown)}{own}"


class _Parser(argparse.ArgumentParser):
    """Reports an error in one sentence: the usage of a command with many options would bury it.

    Attributes:
        reports_as_json: whether the error is a JSON document on standard output, too.
    """

    reports_as_json = False

    def error(self, message: str) -> NoReturn:
        sentence = f"{message.removeprefix('argument ')} (see `{self.prog} --help`)"
        if self.reports_as_json:
            print_error_document(UsageError(sentence).info)
        self.exit(WRONG_REQUEST, f"loaderscope: {sentence}\n")


def _make_parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """Returns the parser of everything, and the parser of each command by name."""
    parser = _Parser(
        prog="loaderscope",
        description="Finds out which DataLoader settings suit your dataset, and what holds it up. Your script is not edited.",
        epilog="With no command, `loaderscope [SCRIPT | SESSION]` opens the window. `loaderscope COMMAND --help` tells its options.",
    )
    parser.add_argument("--version", action="version", version=f"loaderscope {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        description = f"{command.HELP[0].upper()}{command.HELP[1:]}."
        command_parser = subparsers.add_parser(command.NAME, allow_abbrev=False, help=command.HELP, description=description)
        command_parser.set_defaults(command=command.run)
        command.add_options(command_parser)
    return parser, dict(subparsers.choices)
