"""What the terminal shows of a sweep."""

import io
import re

from loaderscope.agent.messages import ErrorInfo, Target, TrialConfig
from loaderscope.cli.terminal.progress import SweepProgress
from loaderscope.facts.request import Request
from loaderscope.facts.results import Estimate, TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.trace.model import Trace

CONFIGS = [TrialConfig(0), TrialConfig(2, start_method="fork"), TrialConfig(2, start_method="spawn")]
TARGET = Target("numbers", "dataset", "Numbers", "variable", "map", 48)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def play(stream: io.StringIO) -> None:
    """A sweep of three settings of which the second fails."""
    console = SweepProgress(stream)
    plan = [PlannedTrial(number, 0, config) for number, config in enumerate(CONFIGS)]
    console.run_started(Run(Request("a.py"), {}, TARGET, "a.py", None, plan))
    for trial in plan:
        console.progress(trial.id, len(plan), 75.0)
        console.trial_started(trial, Trace())
        console.log_line(LogLine(0, "stdout", "chatter of the script", trial.id))
        if trial.id == 1:
            result = TrialResult(1, 0, "failed", trial.config, error=ErrorInfo("ValueError", "bad sample 17"))
        else:
            result = TrialResult(trial.id, 0, "ok", trial.config, samples_per_second=Estimate(123.4))
        console.trial_finished(result, None)
    console.run_finished(False)


def test_without_a_terminal_there_is_a_plain_line_a_trial() -> None:
    stream = io.StringIO()
    play(stream)
    head, *lines = stream.getvalue().splitlines()
    assert head == "numbers of a.py: 3 trials"
    assert [line.split() for line in lines] == [
        ["0", "workers", "123", "samples/s"],
        ["2", "workers", "·", "fork", "failed:", "bad", "sample", "17"],
        ["2", "workers", "·", "spawn", "123", "samples/s"],
    ]


def test_a_sweep_goes_on_when_nobody_reads_its_progress_any_more() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    play(Gone())


def test_a_terminal_has_a_bar_with_the_time_left_that_is_gone_at_the_end() -> None:
    stream = Terminal()
    play(stream)
    assert re.search(r"1/3 trials, 1 min \d0 s left, 2 workers · fork", stream.getvalue())
    assert stream.getvalue().endswith("\r\x1b[K")
