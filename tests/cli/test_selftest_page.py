"""What the self-test tells of its session."""

import pytest
from terminal_text import plain_text

from loaderscope.cli.commands.doctor_selftest import selftest_request, summarise_selftest
from loaderscope.cli.terminal.selftest_page import selftest_page

MACHINE = {"commit_limit_bytes": 20_000_000_000, "commit_used_bytes": 5_000_000_000, "open_files_limit": None}


def trial(workers, method, first_s, status="ok", preload=None):
    phases = [
        {"epoch": epoch, "process": process, "phase": phase, "start_s": 0.0, "seconds": seconds}
        for epoch in (0, 1)
        for process, phase, seconds in (
            ("worker-0", "main_import", first_s / 2),
            ("worker-1", "main_import", 9.0),
            ("main", "start_worker", 0.01),
        )
    ]
    return {
        "status": status,
        "config": {"num_workers": workers, "start_method": method, "persistent_workers": False, "forkserver_preload": preload},
        "error": None if status == "ok" else {"message": "It took too long."},
        "epochs": [{"first_batch_s": first_s, "end_s": 0.2}],
        "startup": {"phases": phases, "explained_share": 0.98, "own_s": 0.004, "culprit": {"detail": "worker-0 imports the script again"}},
    }


@pytest.fixture
def document():
    trials = [trial(1, "spawn", 2.0), trial(2, "spawn", 3.0), trial(4, "spawn", 6.0), trial(2, "fork", 0.1, status="timeout")]
    return {"trials": trials, "startup_experiment": None, "environment": {"start_methods": ["spawn", "fork"]}}


def test_starts_are_told_by_the_phases_of_the_first_worker(document):
    found = summarise_selftest(document, 61.0)
    assert [(row["start_method"], row["num_workers"]) for row in found["starts"]] == [("spawn", 1), ("spawn", 2), ("spawn", 4)]
    assert found["starts"][0]["phases"]["main_import"] == 1.0
    assert found["starts"][0]["phases"]["shutdown"] == 0.2
    assert found["starts"][0]["explained_share"] == 0.98


def test_what_went_wrong_is_told_with_its_reason(document):
    assert summarise_selftest(document, 61.0)["unavailable"] == ["2 workers, fork: timeout. It took too long."]
    assert summarise_selftest(None, 1.0, "no torch")["unavailable"] == ["no torch"]


def test_the_page_fits_a_mail_and_names_the_limits(document):
    text = plain_text(selftest_page(summarise_selftest(document, 61.0), MACHINE), 80)
    assert all(len(line) <= 80 for line in text.splitlines())
    imports = next(line for line in text.splitlines() if line.startswith("import script"))
    assert imports.split()[2:] == ["1000", "3000"]  # the fewest and the most workers
    assert "5 GB of 20 GB" in text
    assert "open files: no limit" in text
    assert "2 workers, fork: timeout" in text


def test_more_workers_are_tried_where_there_are_processors():
    assert selftest_request(None, 2).axes.num_workers == (0, 1, 2)
    assert selftest_request(None, 8).axes.num_workers == (0, 1, 2, 4)
    assert selftest_request(None, 8, (1,), ("spawn",)).axes.start_method == ("spawn",)
