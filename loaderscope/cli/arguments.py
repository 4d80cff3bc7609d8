"""What can be asked for: the commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from loaderscope import __version__
from loaderscope.cli import commands
from loaderscope.cli.files import FIGURE_SUFFIXES
from loaderscope.sweep.options import add_narrowing_options, add_run_options, add_script_options


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a command, the function that runs it (`command`) and the script's own arguments (`script_args`)."""
    arguments, script_args = _split(arguments)
    parser, parsers = _parser()
    if not arguments or arguments[0] not in (*parsers, "-h", "--help", "--version"):
        arguments = ["open", *arguments]
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parsers[arguments[0]].error(_about_unknown(unknown, options))
    options.script_args = script_args
    return options


def _about_unknown(unknown: list[str], options: argparse.Namespace) -> str:
    if options.command is commands.run_open and options.path is not None:
        commands.need_path(options.path)  # more often than not it is a command misspelt
    own = "; those of the script itself follow after --" if hasattr(options, "script") else ""
    return f"unrecognized arguments: {' '.join(unknown)}{own}"


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one sentence: the usage of a command with many options would bury it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"loaderscope: {message.removeprefix('argument ')} (see `{self.prog} --help`)\n")


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The tool's own arguments, and those of the script, which follow the first `--`."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="loaderscope",
        description="Finds out which DataLoader settings suit your dataset, and what holds it up. Your script is not edited.",
        epilog="With no command, `loaderscope [SCRIPT | SESSION]` opens the window. `loaderscope COMMAND --help` tells its options.",
    )
    parser.add_argument("--version", action="version", version=f"loaderscope {__version__}")
    names = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = names.add_parser(name, allow_abbrev=False, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(command=run)
        return added

    opened = command("open", commands.run_open, "open the window, with a script or a session file")
    opened.add_argument("path", metavar="SCRIPT | SESSION", nargs="?")
    opened.add_argument("--python", metavar="INTERPRETER", help="the Python that has your torch (this one)")

    command(
        "demo", commands.run_demo, "sweep the built-in example; without a display write session, report and figure into the current folder"
    )

    targets = command("targets", commands.run_targets, "list what a script offers to profile")
    targets.add_argument("script", metavar="SCRIPT")
    add_script_options(targets)
    _add_json(targets)

    run = command("run", commands.run_run, "sweep the settings of a loader and save a session")
    run.add_argument("script", metavar="SCRIPT", help="arguments of the script itself follow after --")
    run.add_argument("--target", metavar="NAME", help="what to profile, as `targets` names it, or captured:N (the only one found)")
    run.add_argument("-o", "--output", metavar="FILE", help="the session file (the script's name with .loaderscope, in the current folder)")
    _add_json(run)
    add_run_options(run)

    show = command("show", commands.run_show, "print the results, recommendation and findings of a session")
    show.add_argument("session", metavar="SESSION")
    _add_json(show)

    report = command(
        "report", commands.run_report, "write a session as a report: a page for a browser, a PDF for print, or one tall picture"
    )
    report.add_argument("session", metavar="SESSION")
    report.add_argument("-o", "--output", metavar="FILE", required=True, help=f"its ending chooses the kind: {', '.join(FIGURE_SUFFIXES)}")
    report.add_argument("--force", action="store_true", help="overwrite the file")
    text = "the timeline of a trial as .png, .svg or .pdf; two are drawn one above the other, aligned at their first batch"
    report.add_argument("--trials", metavar="A[,B]", type=_trials, help=text)

    doctor = command(
        "doctor", commands.run_doctor, "tell what this machine and an interpreter offer: torch, start methods, GPU, shared memory, limits"
    )
    doctor.add_argument("--python", metavar="INTERPRETER", help="the Python to look at (this one)")
    doctor.add_argument("--selftest", action="store_true", help="measure how workers start here, in at most five minutes, to be mailed")
    doctor.add_argument("-o", "--output", metavar="FILE", help="the session file of the self-test (none is kept)")
    doctor.add_argument("--force", action="store_true", help="overwrite the file")
    add_narrowing_options(doctor)
    _add_json(doctor)
    return parser, dict(names.choices)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else to standard output")


def _trials(text: str) -> tuple[int, ...]:
    """One trial number or two."""
    parts = text.split(",")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"one trial number or two with a comma are wanted, not {text!r}")
    return tuple(map(int, parts))
