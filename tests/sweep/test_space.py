"""The schedule of a sweep."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaderscope.agent.messages import Consumer, Target, TrialConfig
from loaderscope.facts.findings import Remedy
from loaderscope.facts.request import Axes, RemedyToTry, Request
from loaderscope.sweep import inspect_script
from loaderscope.sweep.space import Facts, default_workers, plan

FACTS = Facts(usable_cpus=4, start_methods=("fork", "spawn", "forkserver"), default_start_method="fork", accelerator=False)
DATASET = Target("data", "dataset", "Data", "variable", dataset_kind="map", length=1000)
LOADER_CONFIG = TrialConfig(2, 16, 2, False, False, "fork", True, "process")


def loader(**changes):
    values = {"dataset_kind": "map", "length": 1000, "current": LOADER_CONFIG} | changes
    return Target("loader", "loader", "DataLoader", "variable", **values)


def lay_out(target=DATASET, facts=FACTS, repeats=1, forkserver_preload=(), force=False, **axes):
    options = {"repeats": repeats, "forkserver_preload": forkserver_preload, "force": force, "probe_trial": False}
    request = Request("script.py", axes=Axes(**axes), **options)
    return plan(request, target, facts)


def runs(trials):
    return [trial for trial in trials if trial.skip is None]


def test_the_defaults_sweep_workers_up_to_the_usable_processors():
    trials = lay_out()
    assert [trial.config.num_workers for trial in trials] == [0, 1, 2, 4]
    assert [trial.id for trial in trials] == [0, 1, 2, 3]
    assert trials[2].config == TrialConfig(2, 32, 2, False, False, "fork", True, "process")
    assert [default_workers(count) for count in (1, 2, 3, 6)] == [(0, 1), (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 4, 6)]


def test_a_loader_keeps_its_own_batch_size_unless_asked():
    assert {trial.config.batch_size for trial in lay_out(loader())} == {16}
    assert {trial.config.batch_size for trial in lay_out(loader(), batch_size=(8, 64))} == {8, 64}


def test_what_means_nothing_without_workers_is_null_and_equal_settings_are_one_trial():
    trials = lay_out(
        num_workers=(0, 2), prefetch_factor=(2, 4), persistent_workers=(True, False), start_method=("fork", "spawn"), in_order=(True, False)
    )
    without = [trial.config for trial in trials if trial.config.num_workers == 0]
    assert without == [TrialConfig(num_workers=0, batch_size=32)]
    assert len(trials) == 1 + 2 * 2 * 2 * 2
    assert len({trial.config for trial in trials}) == len(trials)


def test_persistent_workers_alone_are_impossible_without_workers():
    trials = lay_out(num_workers=(0, 1), persistent_workers=(True,))
    (skipped,) = [trial for trial in trials if trial.skip]
    assert (skipped.config.num_workers, skipped.config.persistent_workers, skipped.repeat) == (0, True, None)
    assert skipped.skip[0] == "unsupported"


def test_a_start_method_that_the_system_lacks_is_skipped_with_the_reason():
    facts = Facts(2, ("spawn",), "spawn", None)
    trials = lay_out(facts=facts, num_workers=(0, 2), start_method=("fork", "spawn"))
    assert [trial.config.start_method for trial in runs(trials)] == [None, "spawn"]
    (skipped,) = [trial for trial in trials if trial.skip]
    assert "fork" in skipped.skip[1]


def test_a_sharing_strategy_is_null_where_the_system_has_one_and_skipped_where_it_has_another():
    facts = dataclasses.replace(FACTS, sharing_strategies=("file_system",))
    trials = lay_out(facts=facts, num_workers=(2,), sharing_strategy=(None, "file_system", "file_descriptor"))
    assert [trial.config.sharing_strategy for trial in runs(trials)] == [None]
    (skipped,) = [trial for trial in trials if trial.skip]
    assert "file_descriptor" in skipped.skip[1]
    both = dataclasses.replace(FACTS, sharing_strategies=("file_descriptor", "file_system"))
    assert len(runs(lay_out(facts=both, num_workers=(2,), sharing_strategy=(None, "file_system", "file_descriptor")))) == 3


def test_the_default_start_method_is_the_systems():
    assert lay_out(facts=Facts(1, ("spawn",), "spawn"))[1].config.start_method == "spawn"


def test_pinning_is_skipped_only_where_there_is_surely_no_accelerator():
    axes = {"num_workers": (0, 1), "pin_memory": (False, True)}
    assert [trial.config.pin_memory for trial in lay_out(**axes) if trial.skip] == [True, True]
    for accelerator in (True, None):
        assert not [trial for trial in lay_out(facts=Facts(1, ("fork",), "fork", accelerator), **axes) if trial.skip]


def test_force_overrides_the_refusal_to_pin_but_nothing_that_cannot_run():
    axes = {"num_workers": (0, 1), "pin_memory": (False, True), "persistent_workers": (True,)}
    pinned = [trial.config.pin_memory for trial in runs(lay_out(force=True, **axes))]
    assert pinned == [False, True]  # with a worker
    assert {trial.config.num_workers for trial in lay_out(force=True, **axes) if trial.skip} == {0}


@pytest.mark.parametrize(
    ("agents_answer", "torch_cuda", "gpus", "nodes", "accelerator"),
    [
        (False, None, [], ["/dev/nvidiactl"], False),
        (True, None, [], [], True),
        (None, "13.0", ["a GPU"], ["/dev/nvidiactl"], True),
        (None, "13.0", [], [], False),
        (None, "13.0", [], ["/dev/nvidiactl"], None),  # a container without NVML
        (None, None, [], [], None),  # it may be built for Metal
    ],
)
def test_a_gpu_that_nvml_does_not_tell_is_not_taken_for_none(monkeypatch, agents_answer, torch_cuda, gpus, nodes, accelerator):
    monkeypatch.setattr(inspect_script.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(inspect_script.os.path, "exists", lambda path: path in nodes)
    assert inspect_script._accelerator({"accelerator": agents_answer, "torch_cuda": torch_cuda}, bool(gpus)) is accelerator


def test_threads_have_no_start_method_and_take_no_iterable_dataset():
    trials = lay_out(num_workers=(2,), backend=("process", "thread"), start_method=("fork", "spawn"))
    assert [(trial.config.backend, trial.config.start_method) for trial in trials] == [
        ("process", "fork"), ("process", "spawn"), ("thread", None),
    ]  # fmt: skip
    iterable = Target("stream", "dataset", "Stream", "variable", dataset_kind="iterable")
    (trial,) = lay_out(iterable, num_workers=(2,), backend=("thread",))
    assert "iterable" in trial.skip[1]


def test_a_loader_that_batches_itself_rules_out_a_batch_size():
    own = loader(current=TrialConfig(num_workers=0, batch_size=None))
    assert {trial.config.batch_size for trial in runs(lay_out(own))} == {None}
    assert all(trial.skip[0] == "unsupported" for trial in lay_out(own, batch_size=(8,)))


def test_a_preload_belongs_to_the_forkserver_alone():
    trials = lay_out(num_workers=(0, 1), start_method=("fork", "forkserver"), forkserver_preload=("torch",))
    assert [trial.config.forkserver_preload for trial in trials] == [None, None, ("torch",)]


def test_repeats_are_interleaved_and_skipped_settings_come_once():
    trials = lay_out(num_workers=(0, 1, 2), persistent_workers=(True,), repeats=3)
    assert len([trial for trial in trials if trial.skip]) == 1
    for repeat in range(3):
        one_pass = [trial.config.num_workers for trial in runs(trials)[repeat * 2 : repeat * 2 + 2]]
        assert sorted(one_pass) == [1, 2]
    assert [trial.repeat for trial in runs(trials)] == [0, 0, 1, 1, 2, 2]


@given(settings=st.integers(1, 9), pairs=st.integers(1, 4))
def test_a_steady_drift_favours_no_setting(settings, pairs):
    trials = runs(lay_out(num_workers=tuple(range(settings)), repeats=2 * pairs))
    positions = {}
    for position, trial in enumerate(trials):
        positions.setdefault(trial.config, []).append(position)
    sums = {sum(found) for found in positions.values()}
    assert len(positions) == settings
    assert len(sums) == 1


def test_the_schedule_is_the_same_every_time():
    axes = {"num_workers": (0, 1, 2), "batch_size": (8, 16), "repeats": 4}
    assert lay_out(**axes) == lay_out(**axes)


@pytest.mark.parametrize("kind", ["script", "training", "device", "cuda"])
def test_a_perfect_loader_comes_last_for_each_thing_that_matters_to_the_step(kind):
    request = Request("script.py", axes=Axes(num_workers=(0, 2), batch_size=(16, 32)), repeats=2, consumer=Consumer(kind, 5.0))
    request = dataclasses.replace(request, probe_trial=False)
    trials = plan(request, DATASET, FACTS)
    perfect = [trial for trial in trials if trial.perfect_loader]
    assert trials[-2:] == perfect and [trial.id for trial in trials] == list(range(len(trials)))
    assert [(trial.config.num_workers, trial.config.batch_size, trial.repeat) for trial in perfect] == [(0, 16, 0), (0, 32, 0)]


@pytest.mark.parametrize(
    "change", [{"consumer": Consumer("none")}, {"consumer": Consumer("sleep", 5.0)}, {"ceiling": False}, {"startup": True}]
)
def test_where_arithmetic_or_nobody_tells_no_perfect_loader_is_measured(change):
    request = dataclasses.replace(Request("script.py", consumer=Consumer("script")), **change)
    assert not any(trial.perfect_loader for trial in plan(request, DATASET, FACTS))


def test_a_remedy_is_measured_in_turn_with_its_setting_and_nothing_else():
    remedy = Remedy("memory-growth", "MALLOC_ARENA_MAX=2", (("MALLOC_ARENA_MAX", "2"),))
    asked = Request(
        "script.py", axes=Axes(num_workers=(0, 1, 2)), consumer=Consumer("script"), gpu_window=10, forkserver_preload=("numpy",)
    )
    trials = plan(asked.with_remedy(RemedyToTry(remedy, LOADER_CONFIG), LOADER_CONFIG), loader(), FACTS)
    assert [trial.config for trial in trials] == [LOADER_CONFIG] * 6
    assert [trial.remedy for trial in trials] == [None, remedy, remedy, None, None, remedy]
    assert [trial.repeat for trial in trials] == [0, 0, 1, 1, 2, 2] and [trial.id for trial in trials] == list(range(6))


def test_a_remedy_that_cannot_be_run_says_why_in_one_row():
    remedy = Remedy("copy-on-write", "start_method='nonsense'")
    other = dataclasses.replace(LOADER_CONFIG, start_method="nonsense")
    trials = plan(Request("script.py").with_remedy(RemedyToTry(remedy, other), LOADER_CONFIG), loader(), FACTS)
    skipped = [trial for trial in trials if trial.skip is not None]
    assert [(trial.config, trial.repeat, trial.remedy) for trial in skipped] == [(other, None, remedy)]
    assert len(runs(trials)) == 3
