"""The exact window in a terminal and in a session."""

import pytest
from support_session import WINDOW, make_run, record
from terminal_text import format_table, plain_text

from loaderscope.cli.terminal.operators_table import window_section
from loaderscope.session.document import build_document
from loaderscope.session.file import SessionFile, SessionWriter


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_heaviest_operators_stand_below_the_busy_share(width):
    text = plain_text(window_section(WINDOW, "2 workers"), width)
    assert max(map(len, text.splitlines())) <= width
    assert "10 profiled steps, 250 ms; the GPU was busy 63" in " ".join(text.split())
    assert text.splitlines()[-2].split()[:4] == ["aten::convolution", "30", "10.0", "ms"]


def test_without_a_device_there_is_a_reason_and_no_column_for_it():
    operators = [{**operator, "self_device_s": 0.0} for operator in WINDOW["operators"]]
    window = {**WINDOW, "busy_share": None, "reason": "no busy share: torch sees no accelerator", "operators": operators}
    text = plain_text(window_section(window, "2"), 140)
    assert "torch sees no accelerator" in text
    assert "device itself" not in text
    refused = {**WINDOW, "steps": 0, "reason": "no exact window: the script itself profiles", "operators": []}
    assert plain_text(window_section(refused, "2"), 80) == "Exact window (2): no exact window: the script itself profiles."


def test_a_window_survives_the_session_and_is_shown_with_the_results(tmp_path):
    run = make_run()
    with_window = tmp_path / "a.loaderscope"
    writer = SessionWriter(with_window)
    results, _ = record(writer, run)
    writer.close()
    with SessionFile.open(with_window) as session:
        assert session.results == results
        assert session.results[0].gpu_window.operators[0].name == "aten::convolution"
        document = session.document()
    assert document["trials"][0]["gpu_window"] == WINDOW
    assert "aten::convolution" in format_table(document, 100)
    assert "accel." in format_table(build_document(run, results), 160)
