"""The command line. Each command imports what it needs when it runs: `--version` is quick, and only what draws loads Qt."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loaderscope import __version__

if TYPE_CHECKING:
    from loaderscope.sweep.pool import Pool
    from loaderscope.sweep.request import Request

OK, SOME_FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130
SESSION_SUFFIX = ".loaderscope"
UNLIMITED_COLUMNS = 10_000  # into a pipe or file nothing is cut off
FIGURE_SUFFIXES = (".html", ".pdf", ".png", ".svg")


LAST_LINES = 6


class UsageError(Exception):
    """The request or the script is wrong; the text is one sentence for the user, `output` what the script printed last."""

    def __init__(self, sentence: str, output: str = "") -> None:
        super().__init__(sentence)
        self.output = output


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status: 0 all well, 1 some trials failed, 2 wrong request or script, 130 interrupted."""
    arguments, script_args = _split(list(sys.argv[1:] if argv is None else argv))
    _never_fail_to_print()
    try:
        options = _parse(arguments)
        options.script_args = script_args
        status: int = options.command(options)
        sys.stdout.flush()
    except UsageError as error:
        print(f"loaderscope: {error}", file=sys.stderr)
        for line in error.output.splitlines()[-LAST_LINES:]:
            print(f"  | {line}", file=sys.stderr)
        return WRONG_REQUEST
    except KeyboardInterrupt:
        print("loaderscope: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # e.g. into `head`: what was asked for was done, nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return status


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The tool's own arguments, and those of the script, which follow the first `--`."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _never_fail_to_print() -> None:
    """Characters that the terminal's encoding lacks must not end a sweep."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser, commands = _parser()
    if not arguments or arguments[0] not in (*commands, "-h", "--help", "--version"):
        arguments = ["open", *arguments]
    return parser.parse_args(arguments)


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    parser = argparse.ArgumentParser(
        prog="loaderscope",
        description="Finds out which DataLoader settings suit your dataset, and what holds it up. Your script is not edited.",
        epilog="With no command, `loaderscope [SCRIPT | SESSION]` opens the window. `loaderscope COMMAND --help` tells its options.",
    )
    parser.add_argument("--version", action="version", version=f"loaderscope {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, allow_abbrev=False, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(command=run)
        return added

    opened = command("open", _open, "open the window, with a script or a session file")
    opened.add_argument("path", metavar="SCRIPT | SESSION", nargs="?")
    opened.add_argument("--python", metavar="INTERPRETER", help="the Python that has your torch (this one)")

    command("demo", _demo, "sweep the built-in example; without a display write session, report and figure into the current folder")

    targets = command("targets", _targets, "list what a script offers to profile")
    targets.add_argument("script", metavar="SCRIPT")
    _add_script_options(targets)
    _add_json(targets)

    run = command("run", _run, "sweep the settings of a loader and save a session")
    run.add_argument("script", metavar="SCRIPT", help="arguments of the script itself follow after --")
    run.add_argument("--target", metavar="NAME", help="what to profile, as `targets` names it, or captured:N (the only one found)")
    run.add_argument("-o", "--output", metavar="FILE", help="the session file (the script's name with .loaderscope, in the current folder)")
    _add_json(run)
    _add_run_options(run)

    show = command("show", _show, "print the results, recommendation and findings of a session")
    show.add_argument("session", metavar="SESSION")
    _add_json(show)

    report = command("report", _report, "write a session as a report: a page for a browser, a PDF for print, or one tall picture")
    report.add_argument("session", metavar="SESSION")
    report.add_argument("-o", "--output", metavar="FILE", required=True, help=f"its ending chooses the kind: {', '.join(FIGURE_SUFFIXES)}")
    report.add_argument("--force", action="store_true", help="overwrite the file")
    text = "the timeline of a trial as .png, .svg or .pdf; two are drawn one above the other, aligned at their first batch"
    report.add_argument("--trials", metavar="A[,B]", type=_trials, help=text)

    doctor = command("doctor", _doctor, "tell what this machine and an interpreter offer: torch, start methods, GPU, shared memory, limits")
    doctor.add_argument("--python", metavar="INTERPRETER", help="the Python to look at (this one)")
    doctor.add_argument("--selftest", action="store_true", help="measure how workers start here, in at most five minutes, to be mailed")
    doctor.add_argument("-o", "--output", metavar="FILE", help="the session file of the self-test (none is kept)")
    doctor.add_argument("--force", action="store_true", help="overwrite the file")
    _add_narrowing_options(doctor)
    _add_json(doctor)
    return parser, list(commands.choices)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else to standard output")


def _add_script_options(parser: argparse.ArgumentParser) -> None:
    from loaderscope.sweep.options import add_script_options

    add_script_options(parser)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    from loaderscope.sweep.options import add_run_options

    add_run_options(parser)


def _add_narrowing_options(parser: argparse.ArgumentParser) -> None:
    from loaderscope.sweep.options import add_narrowing_options

    add_narrowing_options(parser)


# Commands


def _targets(options: argparse.Namespace) -> int:
    from loaderscope.sweep.inspect import SweepError, inspect_script
    from loaderscope.sweep.request import Request

    script = _script(options.script)
    request = Request(
        script=str(script),
        script_args=tuple(options.script_args),
        arguments=dict(options.arg),
        python=options.python,
        cwd=os.getcwd(),
        load_timeout_s=options.load_timeout,
    )
    try:
        found = inspect_script(request)
    except SweepError as error:
        raise UsageError(str(error), error.output) from error
    if options.json:
        targets = [target.to_json() for target in found.targets]
        _print_json({"loaderscope": __version__, "schema": 1, "script": str(script), "environment": found.environment, "targets": targets})
        return OK
    if not found.targets:
        raise UsageError(f"{options.script} offers nothing to profile: no Dataset, no DataLoader, and no function that returns one")
    from loaderscope.session.table import format_targets

    print(format_targets(found.targets, None if sys.stdout.isatty() else UNLIMITED_COLUMNS))
    return OK


def _run(options: argparse.Namespace) -> int:
    from loaderscope.sweep.options import request_from

    script = _script(options.script)
    output = Path(options.output) if options.output else Path(script.stem + SESSION_SUFFIX)
    if output.suffix != SESSION_SUFFIX:
        raise UsageError(f"the name of the output must end in {SESSION_SUFFIX}, {output} does not")
    status, document = _sweep(request_from(options, script, options.script_args), output, options.force)
    if document is not None:
        _print_document(document, options.json)
        print(f"Saved as {output}", file=sys.stderr)
    return status


def _show(options: argparse.Namespace) -> int:
    _print_document(_document(Path(options.session)), options.json)
    return OK


def _doctor(options: argparse.Namespace) -> int:
    from loaderscope.gui.display import window_problem
    from loaderscope.sweep.doctor import examine, format_examination

    if not options.selftest and (options.output or options.num_workers or options.start_method):
        raise UsageError("--output, --num-workers and --start-method belong to --selftest")
    examination = examine(options.python, window_problem())
    status = OK if examination["interpreter"]["error"] is None else WRONG_REQUEST
    found = None
    if options.selftest and status == OK:
        status, found = _selftest(options)
        examination |= {"selftest": found}
    if options.json:
        _print_json({"loaderscope": __version__, "schema": 1, **examination})
        return status
    print(f"Loaderscope {__version__}\n{format_examination(examination)}")
    if found is not None:
        from loaderscope.session.selftest import format_selftest

        print("\n" + format_selftest(found, examination["machine"], shutil.get_terminal_size((100, 24)).columns))
    return status


def _selftest(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Runs the self-test. Gives the exit status and what it found."""
    from loaderscope.session.selftest import find_selftest, selftest_request
    from loaderscope.sweep.system import usable_cpus

    request = selftest_request(options.python, usable_cpus(), options.num_workers, options.start_method)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="loaderscope-selftest-", ignore_cleanup_errors=True) as folder:
        output = Path(options.output) if options.output else Path(folder) / ("selftest" + SESSION_SUFFIX)
        try:
            status, document = _sweep(request, output, options.force)
            problem = None
        except UsageError as error:
            status, document, problem = WRONG_REQUEST, None, f"{error}\n{error.output}".strip()
    return status, find_selftest(document, time.monotonic() - began, problem)


def _report(options: argparse.Namespace) -> int:
    output = Path(options.output)
    if output.suffix.lower() not in FIGURE_SUFFIXES:
        raise UsageError(f"the name of the report must end in one of {', '.join(FIGURE_SUFFIXES)}, {output} does not")
    if options.trials and output.suffix.lower() == ".html":
        raise UsageError("--trials draws a figure: the name must end in .png, .svg or .pdf")
    _may_write(output, options.force)
    _write_report(Path(options.session), [output], options.trials)
    return OK


def _demo(options: argparse.Namespace) -> int:
    from loaderscope.gui.display import has_display
    from loaderscope.sweep.example import demo_request
    from loaderscope.sweep.system import usable_cpus

    request = demo_request(usable_cpus())
    if has_display():
        return _start_window(demo=request)
    print("There is no display here, so the demo runs in the terminal. It takes about half a minute on an idle machine.", file=sys.stderr)
    output = _free_name(Path("loaderscope-demo" + SESSION_SUFFIX))
    status, document = _sweep(request, output, force=False)
    if document is None:
        return status
    _print_document(document, as_json=False)
    print(f"Session:  {output}", file=sys.stderr)
    reports = [output.with_suffix(".html"), output.with_suffix(".png")]
    try:
        _write_report(output, reports[:1])
        _write_report(output, reports[1:], _trials_to_compare(document))
    except UsageError as error:
        print(f"No report and no figure: {error}", file=sys.stderr)
        return status or SOME_FAILED
    print(f"Report:   {reports[0]}\nTimeline: {reports[1]}", file=sys.stderr)
    return status


def _trials_to_compare(document: dict[str, Any]) -> list[int]:
    """A good trial without workers and one of the recommended setting."""
    best = (document["recommendation"] or {}).get("config")
    good = [trial for trial in document["trials"] if trial["status"] == "ok"]
    plain = [trial["id"] for trial in good if not trial["config"]["num_workers"]][:1]
    return list(dict.fromkeys([*plain, *[trial["id"] for trial in good if trial["config"] == best][:1]]))


def _open(options: argparse.Namespace) -> int:
    path = None
    if options.path is not None:
        path = Path(options.path)
        if not path.exists():
            raise UsageError(f"there is neither a file nor a command {path}")
    return _start_window(path=path, python=options.python, script_args=options.script_args)


# What commands share


def _script(name: str) -> Path:
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{name} is a folder, not a script")
    if not path.exists():
        raise UsageError(f"there is no file {name}")
    return path.absolute()


def _may_write(path: Path, force: bool) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already; --force overwrites it")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"the folder {path.parent} cannot be written to")


def _free_name(path: Path) -> Path:
    """The path itself, or with a number if it, or the report beside it, is taken."""
    candidate, number = path, 1
    while any(candidate.with_suffix(suffix).exists() for suffix in (SESSION_SUFFIX, ".html", ".png")):
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


def _sweep(request: Request, output: Path, force: bool) -> tuple[int, dict[str, Any] | None]:
    """Runs a sweep into a session file. Gives the exit status and the JSON document, which is None if no trial was reached."""
    from loaderscope.session.console import Console
    from loaderscope.session.document import build_document
    from loaderscope.session.file import SessionError
    from loaderscope.session.recording import Recording
    from loaderscope.sweep.attachment import SweepError
    from loaderscope.sweep.pool import Pool

    _may_write(output, force)
    recording = Recording(output, force, Console())
    try:
        pool = Pool(request, recording)
        with _cancelled_by_signals(pool):
            pool.run()
    except (SweepError, SessionError) as error:
        raise UsageError(str(error), getattr(error, "output", "")) from error
    finally:
        recording.close()
    if recording.write_error is not None:
        print(f"loaderscope: {recording.write_error}", file=sys.stderr)
    if recording.cancelled:
        print(f"loaderscope: interrupted{'' if recording.run is None else '; finished trials are saved'}", file=sys.stderr)
    if recording.run is None:
        return INTERRUPTED, None
    document = build_document(recording.run, recording.results)
    if recording.cancelled:
        return INTERRUPTED, document
    failed = recording.write_error is not None or any(result.status not in ("ok", "skipped") for result in recording.results)
    return SOME_FAILED if failed else OK, document


@contextmanager
def _cancelled_by_signals(pool: Pool) -> Iterator[None]:
    """Ctrl+C and a request to terminate end the sweep in order, so that finished trials are saved; a second Ctrl+C ends it at once."""

    def cancel(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pool.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, cancel) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _document(session: Path) -> dict[str, Any]:
    from loaderscope.session.file import SessionError, SessionFile

    if not session.exists():
        raise UsageError(f"there is no file {session}")
    try:
        with SessionFile.open(session) as opened:
            document: dict[str, Any] = opened.document()
            return document
    except SessionError as error:
        raise UsageError(str(error)) from error


def _print_document(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(document)
    else:
        from loaderscope.session.table import format_table

        print(format_table(document))


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=1, allow_nan=False))


def _trials(text: str) -> tuple[int, ...]:
    """One trial number or two."""
    parts = text.split(",")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"one trial number or two with a comma are wanted, not {text!r}")
    return tuple(map(int, parts))


def _write_report(session: Path, outputs: Sequence[Path], trials: Sequence[int] | None = None) -> None:
    from loaderscope.gui.display import has_display
    from loaderscope.session.file import SessionError

    _document(session)  # what is wrong with the session is told before what is wrong with Qt
    _need_qt(visible=False)
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    with _qt_errors():
        from loaderscope.gui.report.writing import write_report, write_timeline
    try:
        if trials:
            write_timeline(session, outputs[0], trials)
        else:
            write_report(session, outputs)
    except (SessionError, ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def _start_window(path: Path | None = None, demo: Request | None = None, python: str | None = None, script_args: Sequence[str] = ()) -> int:
    from loaderscope.gui.display import has_display

    _need_qt(visible=has_display())
    if not has_display() and not os.environ.get("QT_QPA_PLATFORM"):
        raise UsageError("there is no display here for a window; `run`, `show` and `report` need none")
    with _qt_errors():
        from loaderscope.gui.app import start
    return start(None if path is None else str(path), demo, python=python, script_args=script_args)


def _need_qt(visible: bool) -> None:
    """Says which packages are missing before Qt finds out, which ends the process where its window system cannot be loaded."""
    from loaderscope.gui.display import missing_packages, missing_sentence

    packages = missing_packages(visible)
    if packages:
        raise UsageError(missing_sentence(packages, "open a window" if visible else "draw"))


@contextmanager
def _qt_errors() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UsageError(f"Qt cannot be loaded: {error}") from error
