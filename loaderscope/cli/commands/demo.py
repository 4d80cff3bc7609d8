"""`loaderscope demo`: sweeps the built-in example, in the window where there is a display."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from loaderscope.cli.files import SESSION_SUFFIX, unused_path
from loaderscope.cli.outcome import SOME_FAILED, UsageError
from loaderscope.cli.printing import print_document
from loaderscope.cli.qt import draw_session, start_window
from loaderscope.cli.sweeping import sweep

NAME = "demo"
HELP = "sweep the built-in example; without a display write session, report and figure into the current folder"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds nothing: the demo has no options."""


def run(options: argparse.Namespace) -> int:
    from loaderscope.gui.window.display import has_display
    from loaderscope.sweep.demo_example import demo_request
    from loaderscope.sweep.machine import usable_cpus

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
    report, figure = output.with_suffix(".html"), output.with_suffix(".png")
    try:
        draw_session(output, [report])
        draw_session(output, [figure], _trials_to_compare(document))
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
