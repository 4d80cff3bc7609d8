"""`loaderscope trace`: runs a training as it is, and records its loaders into a session file."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from loaderscope.agent.messages import ErrorInfo
from loaderscope.cli.files import SESSION_SUFFIX, check_writable, chosen_script
from loaderscope.cli.outcome import UsageError
from loaderscope.cli.printing import add_json_option, print_document, print_error_document
from loaderscope.cli.script_arguments import add_script_argument
from loaderscope.facts.run import KEPT_BYTES
from loaderscope.facts.settings import whole_number
from loaderscope.facts.text import bytes_text
from loaderscope.sweep.options import positive_seconds

if TYPE_CHECKING:
    from loaderscope.facts.run import LogLine
    from loaderscope.sweep.training_run import TrainingRun

NAME = "trace"
HELP = "run a training as it is and record its loaders; exits with the status of the script"

LEAST_KEPT_BYTES = 16 * 10**6
"""A session within less would hold no useful part of a training."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_script_argument(parser)
    parser.add_argument("-m", dest="module", metavar="MODULE", help="the module to run in place of a script, as for python")
    parser.add_argument("-o", "--output", metavar="FILE", help="the session file (the script's name with .trace.loaderscope)")
    parser.add_argument("--python", metavar="FILE", help="the interpreter that runs the script (the one of loaderscope)")
    parser.add_argument(
        "--cwd", metavar="FOLDER", type=os.path.abspath, help="the folder in which it runs (this one; of a notebook, its own)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the output")
    group = parser.add_argument_group("what is recorded (the whole training)")
    group.add_argument("--skip-seconds", metavar="S", type=positive_seconds, default=0.0, help="record nothing in the first S seconds")
    group.add_argument("--seconds", metavar="S", type=positive_seconds, help="record for S seconds")
    group.add_argument("--batches", metavar="N", type=whole_number(1), help="record N batches of all loaders of a process together")
    group.add_argument("--then-stop", action="store_true", help="end the training, with Ctrl+C, when the recording ends")
    group.add_argument(
        "--keep",
        metavar="SIZE",
        type=size_bytes,
        default=KEPT_BYTES,
        help="the size within which the session stays, such as 500MiB: older spans are thinned to sums (2GiB)",
    )
    add_json_option(parser)


def size_bytes(text: str) -> int:
    """Returns a size such as 500MB, 2GiB or 3G in bytes, as an option of the command line gives it."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?", text.strip())
    size = 0 if match is None else round(float(match[1]) * (1024 if match[3] else 1000) ** ("", "k", "M", "G", "T").index(match[2]))
    if size < LEAST_KEPT_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is no size of at least {bytes_text(LEAST_KEPT_BYTES)}, such as 500MB or 2GiB")
    return size


def run(options: argparse.Namespace) -> int:
    from loaderscope.facts.request import Request, default_cwd
    from loaderscope.facts.run import SilentSink
    from loaderscope.session.document import build_document
    from loaderscope.session.file import SessionWriter
    from loaderscope.session.recording import Recording
    from loaderscope.sweep.training_run import RecordingBounds, TrainingRun
    from loaderscope.trace.model import Trace

    script = chosen_script(options)
    name = script.stem if options.module is None else options.module.rpartition(".")[2]
    output = Path(options.output) if options.output else Path(f"{name}.trace{SESSION_SUFFIX}")
    if output.suffix != SESSION_SUFFIX:
        raise UsageError(f"the name of the output must end in {SESSION_SUFFIX}, {output} does not")
    check_writable(output, options.force)
    if options.then_stop and options.seconds is None and options.batches is None:
        raise UsageError("--then-stop needs --seconds or --batches, after which the recording ends")
    request = Request(
        script=str(script),
        module=options.module,
        python=options.python,
        cwd=options.cwd or default_cwd(str(script)),
        script_args=tuple(options.script_args),
    )
    reported: list[str] = []

    class ReportingSink(SilentSink[Trace]):
        """Shows what Loaderscope itself has to say about the recording."""

        def log_line(self, line: LogLine) -> None:
            report(line.text)

    def report(text: str) -> None:
        if text not in reported:
            reported.append(text)
            print(f"loaderscope: {text}", file=sys.stderr, flush=True)

    recording = Recording(lambda: SessionWriter(output, options.force, options.keep), ReportingSink(), is_required=False)
    bounds = RecordingBounds(options.skip_seconds, options.seconds, options.batches, options.then_stop)
    is_found_as_typed = options.script is not None and (Path(request.cwd or ".") / options.script).absolute() == script
    training = TrainingRun(
        request, recording, sys.stderr.fileno() if options.json else None, bounds, options.script if is_found_as_typed else None
    )
    try:
        with _signals_for_the_script(training):
            status = training.run()
    except OSError as error:
        raise UsageError(f"{options.python or 'Python'} cannot be started: {error.strerror or error}") from error
    finally:
        recording.close()
    if recording.write_error is not None:
        report(recording.write_error)
    if recording.run is None:
        what = "no DataLoader was recorded" if bounds.are_any or training.met_loaders else "the script iterated no DataLoader"
        sentence = f"{what}, so there is nothing to show"
        report(sentence)
        if options.json:
            print_error_document(ErrorInfo("unsupported", sentence))
        return _shell_status(status)
    try:
        with contextlib.redirect_stdout(sys.stdout if options.json else sys.stderr):
            print_document(build_document(recording.run, recording.results), options.json)
        print(f"Saved as {output}", file=sys.stderr)
    except Exception as error:  # whatever is wrong with our words, the status is the script's
        report(f"the recording cannot be shown: {type(error).__name__}: {error}")
    return _shell_status(status)


def _shell_status(status: int | None) -> int:
    """Returns the exit status with which a shell sees a process that `subprocess` saw end with `status`; 0 for one that goes on."""
    return 0 if status is None else status if status >= 0 else 128 - status


_TERMINALS_SIGNALS = ("SIGINT", "SIGQUIT", "SIGHUP")
"""A terminal sends them to the script, too: at Ctrl+C, at Ctrl+\\, and when it is closed."""
_SIGNALS_OF_OTHERS = ("SIGTERM", "SIGUSR1", "SIGUSR2")
"""Other programs send them to one process; schedulers of clusters ask for a checkpoint so."""


@contextlib.contextmanager
def _signals_for_the_script(training: TrainingRun) -> Iterator[None]:
    """Leaves to the script the signals that it gets, too, and passes others on to it; the recording is saved when it has ended.

    A signal that is ignored, as under nohup, stays so: with a handler of ours the script would not inherit that.
    """

    def pass_on(number: int, frame: object) -> None:
        if training.process is not None:
            training.process.send_signal(number)

    def leave_to_script(number: int, frame: object) -> None:
        """Does nothing. A handler of ours, not SIG_IGN, which the script would inherit."""

    handlers = dict.fromkeys(_TERMINALS_SIGNALS, leave_to_script) | dict.fromkeys(_SIGNALS_OF_OTHERS, pass_on)
    of_system = {getattr(signal, name): handler for name, handler in handlers.items() if hasattr(signal, name)}
    handled = {number: handler for number, handler in of_system.items() if signal.getsignal(number) is not signal.SIG_IGN}
    previous = {number: signal.signal(number, handler) for number, handler in handled.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
