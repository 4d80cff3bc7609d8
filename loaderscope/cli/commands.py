"""What each command does. They return the exit status."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loaderscope import __version__
from loaderscope.cli.advice import advised
from loaderscope.cli.files import FIGURE_SUFFIXES, SESSION_SUFFIX, free_name, may_write, read_document, script_path
from loaderscope.cli.outcome import OK, SOME_FAILED, WRONG_REQUEST, UsageError
from loaderscope.cli.printing import UNLIMITED_COLUMNS, print_document, print_json, print_text
from loaderscope.cli.qt import draw_session, start_window
from loaderscope.cli.sweeping import sweep


def run_targets(options: argparse.Namespace) -> int:
    """Lists what a script offers to profile."""
    from loaderscope.facts.request import Request
    from loaderscope.sweep.inspect_script import SweepError, inspect_script

    script = script_path(options.script)
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
        raise advised(error, request) from error
    if options.json:
        targets = [target.to_json() for target in found.targets]
        print_json({"loaderscope": __version__, "schema": 1, "script": str(script), "environment": found.environment, "targets": targets})
        return OK
    if not found.targets:
        raise UsageError(f"{options.script} offers nothing to profile: no Dataset, no DataLoader, and no function that returns one")
    from loaderscope.cli.terminal.results_table import format_targets

    print_text(format_targets(found.targets, None if sys.stdout.isatty() else UNLIMITED_COLUMNS))
    return OK


def run_run(options: argparse.Namespace) -> int:
    """Sweeps the settings of a loader into a session file."""
    from loaderscope.sweep.options import request_from

    script = script_path(options.script)
    output = Path(options.output) if options.output else Path(script.stem + SESSION_SUFFIX)
    if output.suffix != SESSION_SUFFIX:
        raise UsageError(f"the name of the output must end in {SESSION_SUFFIX}, {output} does not")
    status, document = sweep(request_from(options, script, options.script_args), output, options.force)
    if document is not None:
        print_document(document, options.json)
        print(f"Saved as {output}", file=sys.stderr)
    return status


def run_show(options: argparse.Namespace) -> int:
    """Prints what a session holds."""
    print_document(read_document(Path(options.session)), options.json)
    return OK


def run_doctor(options: argparse.Namespace) -> int:
    """Tells what this machine and an interpreter offer."""
    from loaderscope.gui.window.display import window_problem
    from loaderscope.session.secret_masking import mask_document
    from loaderscope.sweep.doctor import examine, format_examination

    if not options.selftest and (options.output or options.num_workers or options.start_method):
        raise UsageError("--output, --num-workers and --start-method belong to --selftest")
    examination = examine(options.python, window_problem())
    status = OK if examination["interpreter"]["error"] is None else WRONG_REQUEST
    found = None
    if options.selftest and status == OK:
        status, found = _selftest(options)
        examination |= {"selftest": found}
    examination = mask_document(examination)  # it is made to be mailed
    if options.json:
        print_json({"loaderscope": __version__, "schema": 1, **examination})
        return status
    print_text(f"Loaderscope {__version__}\n{format_examination(examination)}")
    if found is not None:
        from loaderscope.cli.selftest_page import format_selftest

        print_text("\n" + format_selftest(examination["selftest"], examination["machine"], shutil.get_terminal_size((100, 24)).columns))
    return status


def _selftest(options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Runs the self-test. Gives the exit status and what it found."""
    from loaderscope.cli.selftest_page import find_selftest, selftest_request
    from loaderscope.sweep.system import usable_cpus

    request = selftest_request(options.python, usable_cpus(), options.num_workers, options.start_method)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="loaderscope-selftest-", ignore_cleanup_errors=True) as folder:
        output = Path(options.output) if options.output else Path(folder) / ("selftest" + SESSION_SUFFIX)
        try:
            status, document = sweep(request, output, options.force)
            problem = None
        except UsageError as error:
            status, document, problem = WRONG_REQUEST, None, f"{error}\n{error.output}".strip()
    return status, find_selftest(document, time.monotonic() - began, problem)


def run_report(options: argparse.Namespace) -> int:
    """Writes a session as a report or figure."""
    output = Path(options.output)
    if output.suffix.lower() not in FIGURE_SUFFIXES:
        raise UsageError(f"the name of the report must end in one of {', '.join(FIGURE_SUFFIXES)}, {output} does not")
    if options.trials and output.suffix.lower() == ".html":
        raise UsageError("--trials draws a figure: the name must end in .png, .svg or .pdf")
    may_write(output, options.force)
    draw_session(Path(options.session), [output], options.trials)
    return OK


def run_demo(options: argparse.Namespace) -> int:
    """Sweeps the built-in example, in the window where there is a display."""
    from loaderscope.gui.window.display import has_display
    from loaderscope.sweep.demo_example import demo_request
    from loaderscope.sweep.system import usable_cpus

    request = demo_request(usable_cpus())
    if has_display():
        return start_window(demo=request)
    print("There is no display here, so the demo runs in the terminal. It takes about half a minute on an idle machine.", file=sys.stderr)
    output = free_name(Path("loaderscope-demo" + SESSION_SUFFIX))
    status, document = sweep(request, output, force=False)
    if document is None:
        return status
    print_document(document, as_json=False)
    print(f"Session:  {output}", file=sys.stderr)
    reports = [output.with_suffix(".html"), output.with_suffix(".png")]
    try:
        draw_session(output, reports[:1])
        draw_session(output, reports[1:], _trials_to_compare(document))
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


def need_path(name: str) -> Path:
    """The script or session of that name.

    Raises:
        UsageError: there is none, and no command either.
    """
    path = Path(name)
    if not path.exists():
        raise UsageError(f"there is neither a file nor a command {name}")
    return path


def run_open(options: argparse.Namespace) -> int:
    """Opens the window."""
    path = need_path(options.path) if options.path is not None else None
    return start_window(path=path, python=options.python, script_args=options.script_args)
