"""Pages of the commands in a terminal and in a pipe."""

import io
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import pytest
from command_line import SMALL, in_this_process, loaderscope, write_script
from support_session import make_run, record
from terminal_text import format_table, plain_text

from loaderscope.agent.messages import ErrorInfo, Target
from loaderscope.cli.terminal.console import THEME, TerminalConsole
from loaderscope.cli.terminal.results_table import results_page
from loaderscope.cli.terminal.targets_table import TargetsTable
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Sink
from loaderscope.facts.statuses import STATUSES
from loaderscope.session.document import build_document
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.trace.model import Trace

in_terminals = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals")
TRICKY = "[red]x[/red] :smile: [/]"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("session") / "a.loaderscope"
    writer = SessionWriter(path)
    record(writer, make_run())
    writer.close()
    return path


class Deaf(Sink[Trace]):
    """A sink that keeps nothing."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def in_colour(page, monkeypatch: pytest.MonkeyPatch, columns: int = 100) -> str:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    TerminalConsole(stream, columns).print(page, crop=False)
    return stream.getvalue()


def without_styles(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@in_terminals
@pytest.mark.parametrize("columns", [40, 100])
def test_a_terminal_shows_the_lines_of_a_pipe_in_colour(columns: int, session: pathlib.Path) -> None:
    from pseudo_terminal import COLOUR, loaderscope_in_terminal

    output = loaderscope_in_terminal(session.parent, "show", session.name, columns=columns)
    assert COLOUR.search(output)
    with SessionFile.open(session) as opened:
        assert without_styles(output).replace("\r\n", "\n") == format_table(opened.document(), columns) + "\n"


@in_terminals
def test_no_colour_is_shown_to_a_user_who_wants_none(session: pathlib.Path) -> None:
    from pseudo_terminal import COLOUR, loaderscope_in_terminal

    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        output = loaderscope_in_terminal(session.parent, "show", session.name, **environment)
        assert "samples/s" in output
        assert not COLOUR.search(output)


def test_a_pipe_gets_no_escape_sequence(session: pathlib.Path) -> None:
    done = in_this_process(session.parent, "show", session.name, FORCE_COLOR="1", TERM="xterm")
    assert done.status == 0
    assert "samples/s" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX redirects the output")
def test_a_closed_pipe_or_a_full_disk_ends_the_command_without_a_traceback(session: pathlib.Path) -> None:
    def show(redirected: str) -> subprocess.CompletedProcess[str]:
        words = shlex.join([sys.executable, "-m", "loaderscope", "show", session.name])
        return subprocess.run(["bash", "-c", f"{words} {redirected}"], cwd=session.parent, capture_output=True, text=True, check=False)

    closed = show("| true; exit ${PIPESTATUS[0]}")
    assert (closed.returncode, closed.stderr) == (0, "")
    if os.path.exists("/dev/full"):
        full = show(">/dev/full")
        assert (full.returncode, len(full.stderr.splitlines())) == (2, 1)


@in_terminals
def test_sentences_of_the_doctor_wrap_in_a_terminal_and_not_in_a_pipe(tmp_path: pathlib.Path) -> None:
    from pseudo_terminal import loaderscope_in_terminal

    missing = "--python", str(tmp_path / ("long" * 20))
    narrow = without_styles(loaderscope_in_terminal(tmp_path, "doctor", *missing, columns=60))
    assert max(map(len, narrow.splitlines())) <= 60
    assert any("cannot be started: " in line for line in loaderscope(tmp_path, "doctor", *missing).stdout.splitlines())


def test_the_recommended_row_and_severities_have_their_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    document = build_document(run, record(Deaf(), run)[0])
    document["findings"] = [{"severity": severity, "message": "A sentence.", "advice": None} for severity in ("error", "warning", "info")]
    lines = in_colour(results_page(document), monkeypatch).splitlines()
    (recommended,) = [line for line in lines if without_styles(line).startswith(">")]
    rows = {style: THEME.styles[style].render("x").partition("x")[0] for style in ("recommended", "error", "warning", "info")}
    assert recommended.startswith(rows["recommended"])
    for severity in ("error", "warning", "info"):
        (line,) = [line for line in lines if without_styles(line) == f"{severity}: A sentence."]
        assert line.startswith(rows[severity])


def test_every_status_has_a_style_of_its_role() -> None:
    assert {status.role for status in STATUSES} - {""} <= set(THEME.styles)


def test_texts_are_printed_literally_wherever_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(workers=(1,))
    failed = TrialResult(0, 0, "failed", run.plan[0].config, ErrorInfo("Nasty", TRICKY))
    document = build_document(run, [failed])
    document["target"]["name"] = TRICKY
    document["trials"][0]["warnings"] = [{"process": None, "kind": "stderr", "text": TRICKY, "count": 1, "place": None}]
    document["findings"] = [{"severity": "info", "message": TRICKY, "advice": TRICKY}]
    assert without_styles(in_colour(results_page(document), monkeypatch)).count(TRICKY) == 5
    targets = [Target(TRICKY, "dataset", TRICKY, "variable", "map", 120, note=TRICKY)]
    for columns in (80, 200):  # the note stands below and beside
        assert without_styles(in_colour(TargetsTable(targets), monkeypatch, columns)).count(TRICKY) == 3


def test_no_control_character_of_a_script_reaches_the_terminal() -> None:
    nasty = "a\x1b[2Jb\x07c\x9bd\x08e"
    shown = "a�[2Jb�c�d�e"
    run = make_run(workers=(1,))
    document = build_document(run, [TrialResult(0, 0, "failed", run.plan[0].config, ErrorInfo("Nasty", nasty))])
    document["target"]["name"] = nasty
    document["trials"][0]["warnings"] = [{"process": None, "kind": "stderr", "text": nasty, "count": 1, "place": None}]
    document["findings"] = [{"severity": "info", "message": nasty, "advice": nasty}]
    assert format_table(document, 200).count(shown) == 5
    targets = [Target(nasty, "dataset", nasty, "variable", "map", 120, note=nasty)]
    for columns in (40, 200):
        assert plain_text(TargetsTable(targets), columns).count(shown) == 3


@in_terminals
def test_ctrl_c_removes_the_bar_and_leaves_the_cursor_visible(tmp_path: pathlib.Path) -> None:
    from pseudo_terminal import PseudoTerminal, screen_lines

    write_script(tmp_path, SMALL.replace("0.001", "0.2"))
    arguments = ["run", "script.py", "--target", "numbers", "--num-workers", "0", "--batch-size", "4", "-o", "out.loaderscope"]
    terminal = PseudoTerminal([sys.executable, "-m", "loaderscope", *arguments], tmp_path)
    terminal.read_until(lambda output: "0/1 trials, 0 workers" in output)
    terminal.process.send_signal(signal.SIGINT)
    output = terminal.end()
    assert terminal.process.returncode == 130, output
    assert "\x1b[?25l" not in output
    assert not [line for line in screen_lines(output) if "0/1 trials" in line]
