"""What the terminal shows of a sweep."""

import io
import pathlib
import re
import sys
import threading

import pytest

from loaderscope.agent.messages import ErrorInfo, Target, TrialConfig
from loaderscope.cli.terminal import progress
from loaderscope.cli.terminal.progress import SweepProgress
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.request import Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.trace.model import Trace

CONFIGS = [TrialConfig(0), TrialConfig(2, start_method="fork"), TrialConfig(2, start_method="spawn")]
PLAN = [PlannedTrial(number, 0, config) for number, config in enumerate(CONFIGS)]
TARGET = Target("numbers", "dataset", "Numbers", "variable", "map", 48)
RUN = Run(Request("a.py"), {}, TARGET, "a.py", None, PLAN)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def play(stream: io.TextIOBase, error: str = "bad sample 17") -> None:
    """A sweep of three settings of which the second fails."""
    sink = SweepProgress(stream)
    sink.run_started(RUN)
    for trial in PLAN:
        sink.progress(trial.id, len(PLAN), 75.0)
        sink.trial_started(trial, Trace())
        sink.log_line(LogLine(0, "stdout", "chatter of the script", trial.id))
        if trial.id == 1:
            result = TrialResult(1, 0, "failed", trial.config, error=ErrorInfo("ValueError", error))
        else:
            result = TrialResult(trial.id, 0, "ok", trial.config, samples_per_second=Estimate(123.4))
        sink.trial_finished(result, None)
    sink.run_finished(False)


@pytest.fixture(autouse=True)
def capable_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_without_a_terminal_there_is_a_plain_line_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    play(stream)
    assert stream.getvalue().splitlines() == [
        "numbers of a.py: 3 trials",
        "  0 workers                                       123 samples/s",
        "  2 workers · fork                         failed: bad sample 17",
        "  2 workers · spawn                               123 samples/s",
    ]


def test_a_pipe_has_no_edge_at_which_lines_end() -> None:
    stream = io.StringIO()
    play(stream, "word " * 100 + "end")
    assert any(line.endswith("word end") and len(line) > 500 for line in stream.getvalue().splitlines())


def test_a_sweep_goes_on_when_nobody_reads_its_progress_any_more() -> None:
    class Gone(Terminal):
        tries = 0

        def write(self, text: str) -> int:
            self.tries += 1
            raise BrokenPipeError(32, "Broken pipe")

    stream = Gone()
    play(stream)
    assert stream.tries > len(PLAN)


def test_an_encoding_that_lacks_characters_ends_no_sweep() -> None:
    kept = io.BytesIO()
    stream = io.TextIOWrapper(kept, encoding="ascii", errors="replace")
    stream.isatty = lambda: True  # type: ignore[method-assign]
    play(stream, "größer")
    shown = kept.getvalue().decode("ascii")
    assert "gr??er" in shown
    assert re.search(r"-+\S* 1/3 trials", shown)


def test_a_dumb_terminal_gets_no_escape_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    play(stream)
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1 + len(PLAN)


def test_texts_of_a_script_are_printed_literally() -> None:
    for stream in (io.StringIO(), Terminal()):
        play(stream, "[red]x[/red] :smile: [/] \x1b[2J gone")
        assert "[red]x[/red] :smile: [/] \N{REPLACEMENT CHARACTER}[2J gone" in stream.getvalue()


def test_tabs_and_lines_of_an_error_stay_apart() -> None:
    stream = io.StringIO()
    play(stream, "first\tword\nsecond line")
    assert re.search(r"failed: first +word\nsecond line\n", stream.getvalue())


def test_the_bar_is_drawn_five_times_a_second_at_most_and_by_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s)
    threads = threading.active_count()
    stream = Terminal()
    sink = SweepProgress(stream)
    sink.run_started(RUN)
    sink.progress(0, 3, 75.0)
    sink.trial_started(PLAN[0], Trace())
    drawn = []
    for _ in range(100):
        now_s += 0.01
        before = stream.tell()
        sink.trace_grew(PLAN[0], Trace())
        if stream.tell() != before:
            drawn.append(now_s)
    assert 4 <= len(drawn) <= 5
    assert threading.active_count() == threads
    sink.run_finished(False)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals")
class TestInATerminal:
    """The same sweep in a real terminal."""

    PLAY = "import sys, test_progress; test_progress.play(sys.stderr)"
    PLAY_IN_STEPS = """if True:
        import sys
        from test_progress import PLAN, RUN, SweepProgress, Trace
        sink = SweepProgress()
        sink.run_started(RUN)
        sink.trial_started(PLAN[1], Trace())
        sink.progress(1, len(PLAN), 75.0)
        sys.stdin.readline()
        sink.progress(2, len(PLAN), 75.0)
        sys.stdin.readline()
    """

    @staticmethod
    def start(code: str, folder: pathlib.Path, columns: int = 100, **environment: str):
        from pseudo_terminal import PseudoTerminal

        here = pathlib.Path(__file__).parent
        code = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]}\n{code}"
        return PseudoTerminal([sys.executable, "-c", code], folder, columns, **environment)

    def test_the_bar_has_the_time_left_and_is_gone_at_the_end(self, tmp_path: pathlib.Path) -> None:
        from pseudo_terminal import screen_lines

        output = self.start(self.PLAY, tmp_path).end()
        assert re.search(r"1/3 trials, 1 min \d0 s left, 2 workers · fork", output)
        head, *lines, last = screen_lines(output)
        assert head == "numbers of a.py: 3 trials"
        assert [line.split()[0] for line in lines] == ["0", "2", "2"]
        assert last == ""

    @pytest.mark.parametrize(("environment", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
    def test_failures_are_coloured_unless_the_user_wants_no_colour(self, environment, is_coloured, tmp_path: pathlib.Path) -> None:
        from pseudo_terminal import COLOUR

        output = self.start(self.PLAY, tmp_path, **environment).end()
        assert bool(COLOUR.search(output)) == is_coloured
        assert re.search(r"failed(\x1b\[0m)?: bad sample 17", output)

    def test_the_bar_fits_a_narrow_terminal_and_one_that_was_resized(self, tmp_path: pathlib.Path) -> None:
        from pseudo_terminal import screen_lines

        terminal = self.start(self.PLAY_IN_STEPS, tmp_path, columns=40)
        terminal.read_until(lambda output: "1/3" in output and output.endswith("…"))
        assert len(screen_lines(terminal.output)[-1]) == 40
        terminal.resize(120)
        terminal.process.stdin.write("\n")
        terminal.process.stdin.flush()
        terminal.read_until(lambda output: re.search(r"2/3.*fork", output))
        assert re.search(r"2/3 trials, 1 min \d0 s left, 2 workers · fork$", screen_lines(terminal.output)[-1])
        terminal.process.stdin.write("\n")
        terminal.process.stdin.flush()
        terminal.end()

    def test_a_process_that_is_killed_leaves_the_cursor_visible(self, tmp_path: pathlib.Path) -> None:
        terminal = self.start(self.PLAY_IN_STEPS, tmp_path)
        terminal.read_until(lambda output: "fork" in output)
        terminal.process.kill()
        assert "\x1b[?25l" not in terminal.end()
