"""Sweeps that a command runs: into a session file, until all trials are done or a signal cancels them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loaderscope.cli.advice import with_advice
from loaderscope.cli.files import check_writable
from loaderscope.cli.outcome import INTERRUPTED, OK, SOME_FAILED, WRONG_REQUEST, UsageError

if TYPE_CHECKING:
    from loaderscope.facts.request import Request
    from loaderscope.sweep.pool import Pool


def sweep(request: Request, output: Path, force: bool) -> tuple[int, dict[str, Any] | None]:
    """Runs a sweep into a session file and shows its progress.

    Returns:
        The exit status, and the JSON document; None if the sweep was cancelled before its first trial.

    Raises:
        UsageError: the script cannot be swept, or the file cannot be written.
    """
    from loaderscope.cli.terminal.progress import SweepProgress
    from loaderscope.facts.statuses import status_of
    from loaderscope.session.document import build_document
    from loaderscope.session.file import SessionError, SessionWriter
    from loaderscope.session.recording import Recording
    from loaderscope.sweep.pool import Pool
    from loaderscope.sweep.ready_agent import SweepError

    check_writable(output, force)
    progress = SweepProgress()
    recording = Recording(lambda: SessionWriter(output, force), progress, is_required=True)
    try:
        pool = Pool(request, recording)
        with _cancelled_by_signals(pool):
            pool.run()
    except SweepError as error:
        raise with_advice(error, request) from error
    except SessionError as error:
        raise UsageError(str(error)) from error
    finally:
        progress.close()
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
    if (reason := document.get("error")) is not None:
        print(f"loaderscope: {reason['message']}", file=sys.stderr)
        return WRONG_REQUEST, document
    failed = recording.write_error is not None or any(status_of(result.status).is_failure for result in recording.results)
    return SOME_FAILED if failed else OK, document


@contextmanager
def _cancelled_by_signals(pool: Pool) -> Iterator[None]:
    """Cancels the sweep on Ctrl+C or SIGTERM, which keeps its finished trials; a second Ctrl+C interrupts the process at once."""

    def cancel(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pool.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous_handlers = [signal.signal(number, cancel) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous_handlers, strict=True):
            signal.signal(number, handler)
