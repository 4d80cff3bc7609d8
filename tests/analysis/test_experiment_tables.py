"""The tables of a start-up experiment, as the terminal and the report show them."""

from loaderscope.analysis.startup.experiment_tables import experiment_tables, per_worker_sentence, preloaded_sentence
from loaderscope.facts.text import MISSING

SPAWN = {"start_method": "spawn", "preload": [], "num_workers": 2, "persistent_workers": False}
PERSISTENT = SPAWN | {"persistent_workers": True}
PRELOADED = SPAWN | {"start_method": "forkserver", "preload": ["torch", "numpy"]}


def cost(start, later_s, server_start_s=None):
    return start | {"first_batch_s": 2.0, "later_first_batch_s": later_s, "epoch_end_s": 0.1, "server_start_s": server_start_s}


def control(name, error=None, cache_was_dropped=False):
    seconds = {"first_s": None, "again_s": None} if error else {"first_s": 0.04, "again_s": 0.02}
    return {"name": name, "modules": [], "error": error, "first_from_disk_share": 1.0, "cache_was_dropped": cache_was_dropped} | seconds


def remedy(name, predicted_s, measured_s, agrees, noise_s=None):
    figures = {"predicted_s": predicted_s, "measured_s": measured_s, "agrees": agrees, "noise_s": noise_s}
    return {"name": name, "against": SPAWN, "with_server": False, "over_epochs": 3} | figures


def experiment_of(costs=(), per_worker=(), controls=(), remedies=(), break_even=()):
    return {"costs": costs, "per_worker": per_worker, "controls": controls, "remedies": remedies, "break_even": break_even}


def titles(table):
    return [column.title for column in table.columns]


def test_persistent_workers_are_a_column_beside_those_that_start_anew():
    costs, *_ = experiment_tables(experiment_of(costs=[cost(SPAWN, 1.5), cost(PERSISTENT, 0.05), cost(PRELOADED, 0.5)]))
    assert [dict(zip(titles(costs), row, strict=True))["persistent"] for row in costs.rows] == ["50.0 ms", MISSING]
    assert costs.rows[0][:3] == ("spawn", "2", "2.00 s")


def test_only_a_fork_server_has_a_column_with_its_start():
    without, *_ = experiment_tables(experiment_of(costs=[cost(SPAWN, 1.5)]))
    with_server, *_ = experiment_tables(experiment_of(costs=[cost(SPAWN, 1.5), cost(PRELOADED, 0.5, server_start_s=1.0)]))
    assert "server" not in titles(without) and "server" not in without.legend
    assert [row[-1] for row in with_server.rows] == [MISSING, "1.00 s"]
    assert "fork server" in with_server.legend


def test_a_control_that_failed_is_a_problem_and_not_a_row():
    _, controls, *_ = experiment_tables(experiment_of(controls=[control("python"), control("torch", error="There is no torch.")]))
    assert controls.rows == (("bare interpreter", "40.0 ms", "100 %", "20.0 ms"),)
    assert controls.problems == ("import torch: There is no torch.",)


def test_the_legend_says_whether_files_were_dropped_from_the_cache():
    legends = [experiment_tables(experiment_of(controls=[control("python", None, dropped)]))[1].legend for dropped in (True, False)]
    assert "dropped" in legends[0] and "dropped" not in legends[1]


def test_a_remedy_says_whether_its_prediction_came_true():
    rows = [
        remedy("persistent_workers", 2.0, 2.05, True),
        remedy("persistent_workers", 2.0, 1.0, False, noise_s=1.5),
        remedy("persistent_workers", 2.0, 1.0, False),
        remedy("start_method", None, 1.0, None),
    ]
    _, _, remedies, _ = experiment_tables(experiment_of(remedies=rows))
    assert [row[-1] for row in remedies.rows] == ["agrees", "within noise", "differs", ""]
    assert remedies.rows[0][1] == "2 x spawn, 3 epochs"
    assert remedies.legend.count("persistent: ") == remedies.legend.count("fork instead: ") == 1


def test_an_epoch_length_is_told_in_batches_and_seconds_or_as_never():
    rows = [
        SPAWN | {"batches": 1, "epoch_s": 0.5},
        PERSISTENT | {"batches": None, "epoch_s": None},
        PRELOADED | {"batches": 9, "epoch_s": 2},
    ]
    *_, break_even = experiment_tables(experiment_of(break_even=rows))
    assert break_even.rows == (
        ("spawn", "2", "1 batch (500 ms)", "never"),
        ("forkserver, preloaded", "2", "9 batches (2.00 s)", MISSING),
    )


def test_what_was_not_measured_has_neither_rows_nor_sentences():
    nothing = experiment_of()
    assert [table.rows for table in experiment_tables(nothing)] == [()] * 4
    assert (preloaded_sentence(nothing), per_worker_sentence(nothing)) == ("", "")


def test_sentences_name_preloaded_modules_once_and_what_a_further_worker_adds():
    lines = [SPAWN | {"seconds_per_worker": 1.0, "residual_s": 0.1}, PRELOADED | {"seconds_per_worker": None, "residual_s": None}]
    found = experiment_of(costs=[cost(PRELOADED, 0.5), cost(PRELOADED, 0.6)], per_worker=lines)
    assert preloaded_sentence(found).count("torch") == 1 and "numpy" in preloaded_sentence(found)
    assert "spawn 1.00 s (± 100 ms)" in per_worker_sentence(found) and "forkserver" not in per_worker_sentence(found)
