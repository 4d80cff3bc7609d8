"""`loaderscope demo`: sweeps the built-in example, in the window where there is a display, or records a small training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loaderscope.cli.commands import trace
from loaderscope.cli.files import SESSION_SUFFIX, read_document, unused_path
from loaderscope.cli.outcome import SOME_FAILED, UsageError
from loaderscope.cli.printing import print_document
from loaderscope.cli.qt import draw_session, start_window
from loaderscope.cli.sweeping import sweep

NAME = "demo"
HELP = "sweep the built-in example; without a display write session, report and figure into the current folder"

TRAINING_ARGUMENTS: tuple[str, ...] = ()
"""Arguments of the example that trains; without any it takes about 20 s on two idle cores."""


def add_options(parser: argparse.ArgumentParser) -> None:
    training_help = "instead record a small training on the photographs, as `trace` does"
    parser.add_argument("--training", action="store_true", help=training_help)


def run(options: argparse.Namespace) -> int:
    from loaderscope.gui.window.display import has_display
    from loaderscope.sweep.demo_example import demo_request
    from loaderscope.sweep.machine import usable_cpus

    if options.training:
        return _record_training()
    request = demo_request(usable_cpus())
    if has_display():
        return start_window(demo=request)
    print("There is no display here, so the demo runs in the terminal. It takes about half a minute on an idle machine.", file=sys.stderr)
    output = unused_path(Path("loaderscope-demo" + SESSION_SUFFIX))
    status, document = sweep(request, output, force=False)
    if document is None:
        return status
    print_document(document, as_json=False)
    print(f"Session:  {output}", file=sys.stderr)
    return _draw(output, _trials_to_compare(document), status)


def _record_training() -> int:
    """Records the example that trains; shows the session in the window, or without a display draws it."""
    from loaderscope.gui.window.display import has_display
    from loaderscope.sweep.demo_example import TRAINING, example_script

    print("Recording a small training. It takes about 20 s on two idle cores.", file=sys.stderr)
    output = unused_path(Path("loaderscope-demo-training" + SESSION_SUFFIX))
    parser = argparse.ArgumentParser()
    trace.add_options(parser)
    options = parser.parse_args([str(example_script(TRAINING)), "-o", str(output)], argparse.Namespace(script_args=TRAINING_ARGUMENTS))
    status = trace.run(options)
    if not output.exists():
        return status
    if has_display():
        return start_window(output) or status
    return _draw(output, [read_document(output)["loaders"][0]["trial"]], status)


def _draw(session: Path, trials: Sequence[int], status: int) -> int:
    """Writes the report of a session, and the timelines of some trials as a figure; returns the exit status."""
    report, figure = session.with_suffix(".html"), session.with_suffix(".png")
    try:
        draw_session(session, [report])
        draw_session(session, [figure], trials)
    except UsageError as error:
        print(f"No report and no figure: {error}", file=sys.stderr)
        return status or SOME_FAILED
    print(f"Report:   {report}\nTimeline: {figure}", file=sys.stderr)
    return status


def _trials_to_compare(document: dict[str, Any]) -> list[int]:
    """Returns a good trial without workers and one of the recommended setting, as far as there are any."""
    recommended = (document["recommendation"] or {}).get("config")
    good = [trial for trial in document["trials"] if trial["status"] == "ok"]
    without_workers = [trial["id"] for trial in good if not trial["config"]["num_workers"]][:1]
    of_recommended = [trial["id"] for trial in good if trial["config"] == recommended][:1]
    return list(dict.fromkeys([*without_workers, *of_recommended]))
