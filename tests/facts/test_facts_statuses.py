"""The table of statuses: it is whole, and what is made from it agrees."""

import dataclasses
import io

import pytest
from support_session import config_of, make_run
from terminal_text import format_table

from loaderscope.agent.messages import ErrorInfo
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.training import Training
from loaderscope.cli import sweeping
from loaderscope.cli.terminal.progress import SweepProgress
from loaderscope.facts import statuses
from loaderscope.facts.results import TrialResult
from loaderscope.facts.settings import setting_text
from loaderscope.facts.statuses import FINAL_KEYS, STATUSES, status_of
from loaderscope.gui.style.palette import PALETTES
from loaderscope.session.document import build_document
from loaderscope.session.value_checks import misfit

FINAL = [status_of(key) for key in FINAL_KEYS]


def result_with(status):
    return TrialResult(1, 0, status.key, config_of(0), None if status is statuses.OK else ErrorInfo("limit", "there is none"))


def test_no_two_statuses_have_a_key_or_a_word_in_common():
    assert len({status.key for status in STATUSES}) == len({status.word for status in STATUSES}) == len(STATUSES)


def test_a_finished_trial_has_one_of_the_final_statuses():
    assert all(misfit(result_with(status), TrialResult) is None for status in FINAL)
    assert misfit(result_with(statuses.RUNNING), TrialResult) is not None


@pytest.mark.parametrize("status", FINAL, ids=lambda status: status.key)
def test_a_status_says_one_thing_in_all_that_rests_on_it(status):
    assert status.is_outcome or not status.is_failure, "what was not run cannot fail"
    assert status.was_tried or not status.is_outcome, "what was not tried has no outcome"
    assert bool(status.without_timeline) != status.is_outcome
    assert bool(combine([result_with(status)], Training(1))) == status.was_tried


@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.key)
def test_every_palette_has_the_colour_of_a_status(status):
    assert all(palette.role(status.role) for palette in PALETTES.values() if status.role)


@pytest.mark.parametrize("status", FINAL, ids=lambda status: status.key)
def test_the_exit_status_tells_failures_alone(status, tmp_path, monkeypatch):
    class Pool:
        def __init__(self, request, recording):
            self.recording = recording

        def run(self):
            self.recording.run, self.recording.results = object(), [result_with(status)]

    @dataclasses.dataclass
    class Recording:
        run: object = None
        results: tuple = ()
        write_error: str | None = None
        cancelled: bool = False

        def close(self):
            pass

    monkeypatch.setattr("loaderscope.sweep.pool.Pool", Pool)
    monkeypatch.setattr("loaderscope.session.recording.Recording", lambda *_, **__: Recording())
    monkeypatch.setattr("loaderscope.session.document.build_document", lambda run, results: {})
    code, _ = sweeping.sweep(None, tmp_path / "out.loaderscope", False)
    assert (code != 0) == status.is_failure


@pytest.mark.parametrize("status", [status for status in FINAL if status is not statuses.OK], ids=lambda status: status.key)
def test_the_terminal_says_the_word_of_the_window(status):
    stream = io.StringIO()
    SweepProgress(stream).trial_finished(result_with(status), None)
    run = make_run()
    table = format_table(build_document(run, [result_with(status)]))
    assert f"{status.word}: there is none" in stream.getvalue()
    assert f"{status.word}: {setting_text(config_of(0))}: there is none" in " ".join(table.split())
