"""What the start-up experiment runs, and what it refuses."""

import dataclasses

import pytest

from loaderscope.agent.messages import Consumer, Target
from loaderscope.analysis.startup.preloading import ScriptImport, fork_server, heavy_modules, imports_left_to_workers
from loaderscope.facts.request import Axes, Request
from loaderscope.sweep.experiment.startup_plan import as_experiment
from loaderscope.sweep.ready_agent import SweepError
from loaderscope.sweep.space import Facts, plan

IMPORTS = (ScriptImport("torch", 1.2), ScriptImport("numpy", 0.1, "torch"), ScriptImport("json", 0.02))
FACTS = Facts(4, ("fork", "spawn", "forkserver"), "fork", False, IMPORTS, "3.11.7")
DATASET = Target("data", "dataset", "Data", "variable", dataset_kind="map", length=1000)


def lay_out(facts=FACTS, **options):
    axes = {name: options.pop(name) for name in list(options) if name in Axes.__dataclass_fields__}
    request = as_experiment(Request("/nowhere/script.py", startup=True, axes=Axes(**axes), **options))
    return [trial.config for trial in plan(request, DATASET, facts) if trial.skip is None]


def kinds(configs):
    return {(c.start_method, c.num_workers, c.persistent_workers, c.forkserver_preload) for c in configs}


def test_every_start_method_with_1_2_and_4_workers_persistent_or_not_and_a_server_with_heavy_modules():
    configs = lay_out()
    expected = {(None, 0, None, None)}
    expected |= {(m, n, p, None) for m in ("fork", "spawn", "forkserver") for n in (1, 2, 4) for p in (False, True)}
    expected |= {("forkserver", n, False, ("torch", "numpy")) for n in (1, 2, 4)}
    assert kinds(configs) == expected
    assert len(configs) == 22 + 6 + 3  # the starts of fork servers twice, those that preload three times


def test_starts_with_and_without_preloading_follow_each_other_at_once():
    configs = lay_out(num_workers=(1, 2, 4), start_method=("forkserver",))
    preloaded = [(config.num_workers, config.forkserver_preload is not None, config.persistent_workers) for config in configs]
    first = [(n, *kind) for n in (1, 2, 4) for kind in ((False, False), (True, False), (False, True))]
    again = [(n, is_preloaded, False) for n in (4, 2, 1) for is_preloaded in (True, False)]
    assert preloaded[: len(first + again)] == first + again
    assert sorted(preloaded[len(first + again) :]) == [(n, True, False) for n in (1, 2, 4)]  # servers alone


def test_named_workers_and_start_methods_narrow_it():
    assert kinds(lay_out(num_workers=(1,), start_method=("spawn",))) == {("spawn", 1, False, None), ("spawn", 1, True, None)}


def test_a_system_without_fork_server_preloads_nothing():
    configs = lay_out(dataclasses.replace(FACTS, start_methods=("spawn",), default_start_method="spawn"))
    assert {config.start_method for config in configs} == {None, "spawn"}
    assert {config.forkserver_preload for config in configs} == {None}


def test_the_users_modules_are_preloaded_instead_and_only_where_that_is_the_remedy():
    configs = lay_out(forkserver_preload=("heavy",), num_workers=(1,), start_method=("forkserver",))
    assert {(config.forkserver_preload, config.persistent_workers) for config in configs} == {
        (None, False), (("heavy",), False), (None, True)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("workers", "repeats", "servers", "compared"), [((1, 2, 4), 1, 9, 6), ((1, 2), 1, 10, 4), ((2,), 1, 9, 2), ((2,), 12, 12, 12)]
)
def test_starts_that_are_much_alike_are_made_often_enough_to_compare_them(workers, repeats, servers, compared):
    configs = lay_out(num_workers=workers, start_method=("forkserver",), repeats=repeats)
    assert sum(config.forkserver_preload is not None for config in configs) == servers
    assert sum(config.forkserver_preload is None and not config.persistent_workers for config in configs) == compared
    assert sum(bool(config.persistent_workers) for config in configs) == len(workers) * repeats


def test_repeats_are_interleaved():
    configs = lay_out(num_workers=(1,), start_method=("spawn",), repeats=2)
    assert [config.persistent_workers for config in configs] == [False, True, True, False]


def test_few_batches_and_several_epochs_unless_asked_for_others():
    made = as_experiment(Request("a.py", startup=True))
    assert (made.batches, made.epochs, made.consumer) == (8, 3, Consumer("none"))
    made = as_experiment(Request("a.py", startup=True, batches=5, epochs=6))
    assert (made.batches, made.epochs) == (5, 6)
    assert as_experiment(made) == made


@pytest.mark.parametrize(
    "options",
    [
        {"axes": Axes(prefetch_factor=(2, 4))},
        {"axes": Axes(persistent_workers=(True,))},
        {"axes": Axes(backend=("thread",))},
        {"axes": Axes(num_workers=(0,))},
        {"consumer": Consumer("sleep", 5.0)},
        {"device": "cuda:0"},
    ],
)
def test_what_it_does_not_vary_is_refused(options):
    with pytest.raises(SweepError, match="--startup"):
        as_experiment(Request("a.py", startup=True, **options))


MINE = [ScriptImport("torch", 1.0), ScriptImport("mine", 0.5, beside_script=True), ScriptImport("light", 0.02, beside_script=True)]


def test_a_module_beside_the_script_is_preloaded_only_where_the_server_finds_it(tmp_path):
    request = Request(str(tmp_path / "script.py"), cwd="/")
    assert heavy_modules(request, MINE, "3.11.7") == ("torch",)
    assert heavy_modules(request, MINE, "3.14.1") == ("torch", "mine")
    assert heavy_modules(dataclasses.replace(request, cwd=str(tmp_path)), MINE, "3.11.7") == ("torch", "mine")
    assert heavy_modules(request, [], None) == ("torch",)


def test_a_server_looks_in_one_folder_besides_what_is_installed(tmp_path):
    request = Request(str(tmp_path / "script.py"), cwd="/")
    assert fork_server(request, [], "3.11.7").search_folder == "/"
    assert fork_server(request, [], "3.13.8").search_folder == str(tmp_path)


def test_what_a_server_does_not_find_is_said_to_be_imported_by_the_workers_with_what_helps(tmp_path):
    request = Request(str(tmp_path / "script.py"), cwd="/")
    told = imports_left_to_workers(request, MINE, "3.11.7")
    assert told.startswith("Preloaded workers still import mine themselves. Before Python 3.13.8 a fork server does not find mine")
    assert told.endswith(f"start in {tmp_path}, or name that folder in PYTHONPATH.")
    assert imports_left_to_workers(request, MINE, "3.14.1") is None
    assert imports_left_to_workers(dataclasses.replace(request, cwd=str(tmp_path)), MINE, "3.11.7") is None
    assert (
        imports_left_to_workers(dataclasses.replace(request, forkserver_preload=("torch",)), MINE, "3.11.7") is None
    )  # mine was not asked for
    assert imports_left_to_workers(dataclasses.replace(request, forkserver_preload=("mine",)), MINE, "3.11.7") == told
