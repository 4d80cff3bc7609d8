"""The start-up experiment on made-up machines whose truth is known."""

import dataclasses
import re

import pytest
from rows import config_of, failed

from loaderscope.analysis.startup.experiment import find_experiment
from loaderscope.analysis.startup.remedy_comparison import within_tolerance
from loaderscope.analysis.startup.startup_savings import spared_import_seconds
from loaderscope.facts.evidence import Signs
from loaderscope.facts.results import EpochTimes, TrialResult
from loaderscope.facts.startup_results import Control, ImportCost, LineCost, Phase, StartImport, Startup

EPOCHS = 3


@dataclasses.dataclass(frozen=True)
class Asked:
    startup: bool = True
    train_epochs: int = 10


@dataclasses.dataclass(frozen=True)
class Machine:
    """Seconds of each part of a start; what workers do at once takes longer by `contention` for each further one."""

    start_call_s: float = 0.01  # of Process.start(), one after another
    boot_s: float = 0.05
    torch_s: float = 1.2
    numpy_s: float = 0.1  # imported by torch, and within its time
    own_import_s: float = 0.2  # of the script itself
    fetch_s: float = 0.08
    shutdown_s: float = 0.3
    server_s: float = 0.05
    contention: float = 0.5
    heap_s: float = 0.0  # what imports leave for the first fetch, a pass of the garbage collector
    entry_s: float = 0.0  # the same, but falling into the entry of the loop
    unpickle_s: float = 0.0
    pickle_s: float = 0.0  # in main, before it creates the worker: part of the start call
    blocks: bool = False  # what is sent exceeds the pipe: a start lasts until the worker has read it, its imports behind it

    def trial(self, number, workers, method="spawn", persistent=False, preload=None, batches=8, jitter=0.0, repeat=0):
        config = (
            config_of(workers, start_method=method, persistent_workers=persistent, forkserver_preload=preload) if workers else config_of(0)
        )
        if not workers:
            epochs = [EpochTimes(self.fetch_s, (batches - 1) * self.fetch_s, 0.0, batches)] * EPOCHS
            return TrialResult(
                number, repeat, "ok", config, epochs=epochs, startup=Startup(1.0, None, []), signs=Signs(fetch_s=self.fetch_s)
            )
        slow = 1.0 if self.blocks and method != "fork" else 1 + self.contention * (workers - 1)
        fetch = self.fetch_s * slow
        heap = 0.0 if preload or method == "fork" else self.heap_s * slow
        heavy = 0.0 if preload or method == "fork" else self.torch_s * slow
        entry = 0.0 if preload or method == "fork" else self.entry_s * slow
        main_import = 0.0 if method == "fork" else heavy + self.own_import_s * slow
        boot = 0.0 if method == "fork" else self.boot_s
        epochs, phases = [], []
        for epoch in range(EPOCHS):
            warm = persistent and epoch > 0
            server = self.server_s if method == "forkserver" and epoch == 0 else 0.0
            server += self.torch_s if server and preload else 0.0
            unpickle, pickle = (0.0, 0.0) if method == "fork" else (self.unpickle_s, self.pickle_s)
            start = pickle + self.start_call_s + (boot + main_import + unpickle if self.blocks else 0.0)
            called = server + workers * start
            ready = server + pickle + self.start_call_s + boot + main_import + unpickle + entry + jitter * epoch
            fetched = 0.0 if warm else max(called, ready)
            end = 0.0 if persistent else self.shutdown_s
            first_fetch = fetch + (0.0 if warm else heap)
            epochs.append(EpochTimes(fetched + first_fetch, (batches - workers) * fetch / workers, end, batches))
            if not warm:
                phases += [Phase(epoch, "main", "iterator", 0.0, called)]
                phases += [Phase(epoch, "main", "server_start", 0.0, server)] if server else []
                for worker in range(workers):
                    name, begins = f"worker-{worker}", server + worker * start
                    before = 0.0 if worker else server  # the first start call starts the server, too
                    phases.append(Phase(epoch, "main", "start_worker", begins - before, before + start))
                    imported = begins + pickle + self.start_call_s + boot
                    phases += [Phase(epoch, name, "boot", imported - boot, boot)] if boot else []
                    phases += [Phase(epoch, name, "main_import", imported, main_import)] if main_import else []
                    phases += [Phase(epoch, name, "unpickle", imported + main_import, unpickle)] if method != "fork" else []
                phases += [Phase(epoch, "worker-0", "loop_entry", ready - entry, entry)] if entry else []
                phases.append(Phase(epoch, "worker-0", "index_wait", ready, fetched - ready))
            phases.append(Phase(epoch, "worker-0", "first_fetch", fetched, first_fetch))
        imports, start_imports = [], []
        if heavy:
            inner = self.numpy_s * slow
            imports = [
                ImportCost("torch", heavy - inner, heavy, None, 0.1),
                ImportCost("numpy", inner, inner, "torch", 0.2),
            ]
            for phase in (one for one in phases if one.phase == "main_import"):
                start_imports.append(StartImport(phase.epoch, phase.process, "torch", heavy, None))
                start_imports.append(StartImport(phase.epoch, phase.process, "numpy", inner, "torch"))
        startup = Startup(1.0, None, phases, imports, start_imports=start_imports)
        return TrialResult(number, repeat, "ok", config, epochs=epochs, startup=startup, signs=Signs(fetch_s=fetch, collate_s=0.0))

    def experiment(self, methods=("fork", "spawn", "forkserver"), workers=(1, 2, 4)):
        settings = [(0, "spawn", False, None)]
        settings += [(n, method, persistent, None) for method in methods for n in workers for persistent in (False, True)]
        settings += [(n, "forkserver", False, ("torch",)) for n in workers if "forkserver" in methods]
        return [self.trial(number, *setting) for number, setting in enumerate(settings)]


CONTROLS = [
    Control("python", 0.05, 0.02),
    Control("torch", 4.0, 1.3),
    Control("preload", again_s=1.23, modules=["torch"], import_s=1.2),
]


def remedies_of(results, name, controls=CONTROLS):
    return [remedy for remedy in find_experiment(results, controls, Asked()).remedies if remedy.name == name]


def test_persistent_workers_save_the_later_starts_and_shutdowns_less_a_warm_fetch():
    machine = Machine()
    results = [machine.trial(0, 1), machine.trial(1, 1, persistent=True)]
    (remedy,) = remedies_of(results, "persistent_workers")
    start_s = machine.start_call_s + machine.boot_s + machine.torch_s + machine.own_import_s
    assert remedy.predicted_s == pytest.approx((EPOCHS - 1) * (start_s + machine.shutdown_s))
    assert remedy.measured_s == pytest.approx(remedy.predicted_s)
    assert remedy.per_epoch_s == pytest.approx(start_s + machine.shutdown_s)
    assert (remedy.agrees, remedy.over_epochs) == (True, EPOCHS)
    assert "10 epochs" in remedy.text


@pytest.mark.parametrize(
    "machine",
    [
        Machine(),
        Machine(contention=1.0, start_call_s=0.1),
        Machine(contention=0.0, own_import_s=0.0),
        Machine(heap_s=0.3),
        Machine(entry_s=0.3),
        Machine(blocks=True, unpickle_s=2.0),
        Machine(blocks=True, unpickle_s=0.1, own_import_s=0.0),
        Machine(blocks=True, unpickle_s=2.0, pickle_s=1.0),
    ],
)
def test_every_prediction_holds_on_a_machine_that_does_as_the_model_says(machine):
    found = find_experiment(machine.experiment(), CONTROLS, Asked())
    assert len(found.remedies) == 9 + 2 * 3 + 2 * 3
    assert [remedy for remedy in found.remedies if not remedy.agrees] == []


def test_preloading_saves_contended_imports_and_costs_one_alone_in_the_server():
    machine = Machine(contention=1.0)
    alone, two = remedies_of(machine.experiment(workers=(1, 4)), "forkserver_preload")[2:]
    assert (alone.with_server, two.with_server) == (False, True)
    assert alone.predicted_s == pytest.approx(4 * machine.torch_s)
    assert two.predicted_s == pytest.approx(4 * machine.torch_s - machine.torch_s)
    assert two.measured_s == pytest.approx(two.predicted_s)


def test_what_is_left_after_preloading_waits_for_the_last_worker_to_be_started():
    machine = Machine(start_call_s=0.2, own_import_s=0.0, boot_s=0.0, contention=0.0)
    without_server = remedies_of(machine.experiment(workers=(4,)), "forkserver_preload")[0]
    assert without_server.predicted_s == pytest.approx(0.2 + machine.torch_s - 4 * 0.2)
    assert without_server.measured_s == pytest.approx(without_server.predicted_s)


@pytest.mark.parametrize("methods", [("forkserver",), ("fork", "forkserver")])
@pytest.mark.parametrize("where", ["heap_s", "entry_s"])
def test_what_imports_leave_for_the_time_after_them_is_saved_with_them(methods, where):
    machine = Machine(**{where: 0.4})
    without_server = remedies_of(machine.experiment(methods, workers=(2,)), "forkserver_preload")[0]
    assert without_server.predicted_s == pytest.approx((machine.torch_s + 0.4) * 1.5)
    assert without_server.measured_s == pytest.approx(without_server.predicted_s)


def test_predictions_never_look_at_trials_with_the_remedy():
    honest, other = Machine(), Machine(fetch_s=3.0, torch_s=9.0, shutdown_s=4.0, server_s=7.0)
    plain = [trial for trial in honest.experiment() if not trial.config.persistent_workers and not trial.config.forkserver_preload]
    remedied = [trial for trial in other.experiment() if trial.config.persistent_workers or trial.config.forkserver_preload]
    for name in ("persistent_workers", "forkserver_preload"):
        usual = remedies_of(honest.experiment(), name)
        mixed = remedies_of(plain + remedied, name)
        assert [remedy.predicted_s for remedy in mixed] == pytest.approx([remedy.predicted_s for remedy in usual])
        assert [remedy.measured_s for remedy in mixed] != pytest.approx([remedy.measured_s for remedy in usual])


def test_a_remedy_that_was_not_run_is_still_predicted():
    (remedy,) = remedies_of([Machine().trial(0, 2)], "persistent_workers")
    assert remedy.predicted_s is not None
    assert (remedy.measured_s, remedy.agrees) == (None, None)
    assert remedy.per_epoch_s == pytest.approx(remedy.predicted_s / 2)


def test_what_the_import_takes_the_server_is_told_by_a_control_of_the_same_modules_and_not_by_a_worker():
    machine = Machine(torch_s=1.3)  # in a worker, whose modules are timed
    results = machine.experiment(methods=("forkserver",), workers=(1, 2))
    for without, with_server in zip(*[iter(remedies_of(results, "forkserver_preload"))] * 2, strict=True):
        assert with_server.predicted_s == pytest.approx(without.predicted_s - 1.2)
    others = [dataclasses.replace(control, modules=["torch", "numpy"]) for control in CONTROLS]
    assert [remedy.predicted_s for remedy in remedies_of(results, "forkserver_preload", others) if remedy.with_server] == [None, None]


def test_the_import_right_before_each_server_counts_for_more_than_the_one_before_all_trials():
    results = [
        dataclasses.replace(trial, startup=dataclasses.replace(trial.startup, preload_import_s=3.0 + trial.config.num_workers))
        if trial.config.forkserver_preload
        else trial
        for trial in Machine().experiment(("forkserver",), (1, 2))
    ]
    without, with_server = remedies_of(results, "forkserver_preload")[:2]
    assert with_server.predicted_s == pytest.approx(without.predicted_s - 4.0)


def test_one_slow_start_of_a_server_does_not_move_what_servers_cost():
    machine, slow = Machine(), Machine(server_s=2.05)
    preloading = [
        one.trial(number, 1, "forkserver", preload=("torch",), repeat=number) for number, one in enumerate([machine, slow, machine])
    ]
    with_server = remedies_of([machine.trial(3, 1, "forkserver"), *preloading], "forkserver_preload")[1]
    assert with_server.with_server
    assert with_server.measured_s == pytest.approx(0.0)
    assert with_server.agrees


@pytest.mark.parametrize("unpickle_s", [0.1, 2.0])
def test_where_starts_wait_for_the_workers_every_import_is_saved_and_not_the_first_alone(unpickle_s):
    machine = Machine(blocks=True, unpickle_s=unpickle_s)
    results = machine.experiment(methods=("fork", "forkserver"), workers=(4,))
    preloading, (fork,) = remedies_of(results, "forkserver_preload")[0], remedies_of(results, "start_method")
    assert preloading.predicted_s == pytest.approx(4 * machine.torch_s)
    assert fork.predicted_s == pytest.approx(4 * (machine.boot_s + machine.torch_s + machine.own_import_s + unpickle_s), rel=0.05)
    assert preloading.agrees and fork.agrees


@pytest.mark.parametrize("blocks", [False, True])
def test_the_start_of_a_fork_server_is_not_among_what_fork_saves(blocks):
    machine = Machine(server_s=5.0, heap_s=0.4, blocks=blocks)
    first_epochs = [dataclasses.replace(trial, epochs=trial.epochs[:1]) for trial in machine.experiment(("fork", "forkserver"), (1,))]
    (fork,) = remedies_of(first_epochs, "start_method")
    assert fork.predicted_s < 2.0
    assert fork.agrees


def test_fork_is_predicted_to_spare_interpreter_and_imports():
    found = remedies_of(Machine().experiment(workers=(2,)), "start_method")
    assert [(remedy.config.start_method, remedy.against.start_method) for remedy in found] == [("fork", "spawn"), ("fork", "forkserver")]
    assert all(remedy.agrees for remedy in found)


def test_a_slow_start_among_quick_ones_is_told_as_noise_and_does_not_move_the_median():
    machine = Machine()
    late = machine.trial(0, 1)
    late = dataclasses.replace(late, epochs=[late.epochs[0], dataclasses.replace(late.epochs[1], first_batch_s=9.0), late.epochs[2]])
    cost = find_experiment([late], [], Asked()).costs[0]
    assert cost.start_s == pytest.approx(machine.trial(0, 1).epochs[0].first_batch_s)
    assert cost.start_spread_s == pytest.approx(9.0 - cost.start_s)


def test_a_start_is_told_with_and_without_the_servers_own():
    machine = Machine()
    found = find_experiment([machine.trial(0, 1, "forkserver", preload=("torch",))], [], Asked())
    (cost,) = found.costs
    assert cost.server_start_s == pytest.approx(machine.server_s + machine.torch_s)
    assert cost.first_batch_s == pytest.approx(cost.start_s + cost.server_start_s)
    assert cost.later_first_batch_s == pytest.approx(cost.start_s)
    assert cost.start_spread_s == pytest.approx(0.0, abs=1e-9)


def test_the_line_through_the_starts_gives_slope_fixed_part_and_how_far_they_lie_from_it():
    machine = Machine(start_call_s=0.0)
    found = find_experiment(machine.experiment(methods=("spawn",)), [], Asked())
    (line,) = found.per_worker
    each = machine.contention * (machine.torch_s + machine.own_import_s + machine.fetch_s)
    assert line.seconds_per_worker == pytest.approx(each)
    assert line.fixed_s == pytest.approx(found.costs[1].start_s - each)
    assert line.residual_s == pytest.approx(0.0, abs=1e-9)
    (single,) = find_experiment([machine.trial(0, 2)], [], Asked()).per_worker
    assert (single.seconds_per_worker, single.fixed_s, single.residual_s) == (None, None, None)


def test_both_epochs_take_as_long_at_the_break_even():
    machine = Machine(contention=0.0)
    found = find_experiment(machine.experiment(methods=("spawn",)), [], Asked())
    for even in found.break_even:
        cost = next(c for c in found.costs if (c.num_workers, c.persistent_workers) == (even.num_workers, even.persistent_workers))
        if even.num_workers == 1:
            assert even.batches is None  # one worker that shares no work is no quicker than none
            continue

        def with_workers(batches, cost=cost):
            start_s, end_s = cost.start_s, machine.shutdown_s
            if cost.persistent_workers:
                start_s, end_s = (start_s + 9 * cost.later_first_batch_s) / 10, end_s / 10
            return start_s + (batches - 1) * cost.batch_s + end_s

        assert with_workers(even.batches) <= even.batches * machine.fetch_s
        assert with_workers(even.batches - 1) > (even.batches - 1) * machine.fetch_s
        assert even.epoch_s == pytest.approx(even.batches * machine.fetch_s)


def test_without_a_trial_without_workers_there_is_no_break_even():
    assert find_experiment([Machine().trial(0, 2)], [], Asked()).break_even == []


def test_repeats_of_a_setting_are_one_row():
    machine = Machine()
    found = find_experiment([machine.trial(0, 1), machine.trial(1, 1, repeat=1)], [], Asked())
    assert [cost.trials for cost in found.costs] == [[0, 1]]


def test_the_summary_names_the_import_what_persistent_workers_save_and_what_preloading_saves():
    summary = find_experiment(Machine().experiment(), CONTROLS, Asked()).summary
    assert summary.startswith(
        "Under spawn one worker takes 1.54 s to the first batch and 4 take 3.76 s, of which 78 % is importing torch again"
    )
    assert re.search(r"4 persistent workers save 3[45]\.\d s over 10 epochs", summary)
    assert "a fork server with the heavy imports preloaded saves 4 workers 3.00 s a start (1.80 s the first time" in summary


@pytest.mark.parametrize(
    ("machine", "lines", "cause"),
    [
        (
            Machine(own_import_s=3.0),
            [LineCost(1, "import torch", 1.2, 1.2), LineCost(7, "data = Data()", 3.0)],
            "running line 7 of the script again",
        ),
        (Machine(unpickle_s=3.0, blocks=True), [], "pickling what each worker is sent and unpickling it there"),
        (Machine(), [LineCost(7, "data = Data()", 0.1)], "importing torch again"),
    ],
)
def test_the_summary_names_what_takes_longest_and_not_always_an_import(machine, lines, cause):
    trial = machine.trial(0, 1)
    trial = dataclasses.replace(trial, startup=dataclasses.replace(trial.startup, lines=lines))
    summary = find_experiment([trial], CONTROLS, Asked()).summary
    assert f"% is {cause}" in summary
    share = int(summary.partition("of which ")[2].partition(" %")[0])
    assert share == pytest.approx(
        100 * max(machine.unpickle_s, machine.own_import_s if len(lines) > 1 else 0, 1.2) / trial.epochs[0].first_batch_s, abs=1
    )


def test_what_is_imported_to_unpickle_is_an_import_and_not_what_is_sent():
    trial = Machine(unpickle_s=3.0, blocks=True).trial(0, 1)
    late = ImportCost("package.data", 2.9, 2.9, None, 1.5, "unpickle")
    trial = dataclasses.replace(trial, startup=dataclasses.replace(trial.startup, imports=[*trial.startup.imports, late]))
    assert "% is importing package.data again" in find_experiment([trial], CONTROLS, Asked()).summary


def test_trials_that_failed_and_other_runs_give_no_experiment():
    assert find_experiment([], [], Asked(startup=False)) is None
    found = find_experiment([failed(0, config_of(1), "ValueError")], [], Asked())
    assert (found.costs, found.remedies) == ([], [])
    assert "cannot be told" in found.summary


def importing(*rows):
    """A trial whose first worker imported these in its second epoch."""
    phases = [Phase(1, "worker-0", "main_import", 0.0, 2.0)]
    startup = Startup(1.0, None, phases, start_imports=[StartImport(1, "worker-0", *row) for row in rows])
    return TrialResult(0, 0, "ok", config_of(1, start_method="spawn"), startup=startup)


def test_modules_within_others_that_are_preloaded_too_count_once():
    trial = importing(("torch", 1.5, None), ("numpy", 0.2, "torch"), ("mine", 0.3, None))
    assert spared_import_seconds(trial, 1, "worker-0", ["torch", "numpy"]) == pytest.approx(1.5)
    assert spared_import_seconds(trial, 1, "worker-0", ["numpy"]) == pytest.approx(0.2)
    assert spared_import_seconds(trial, 0, "worker-0", ["numpy"]) is None


def test_a_module_that_is_preloaded_comes_with_its_packages_but_not_with_the_others_in_them():
    trial = importing(("torch", 1.0, None), ("torch.utils.tensorboard", 0.4, None))
    assert spared_import_seconds(trial, 1, "worker-0", ["torch.utils.data"]) == pytest.approx(1.0)
    assert spared_import_seconds(trial, 1, "worker-0", ["torch"]) == pytest.approx(1.0)


def test_figures_agree_within_a_tenth_of_the_larger_or_a_tenth_of_a_second():
    assert within_tolerance(0.30, 0.39) and within_tolerance(10.0, 9.05) and within_tolerance(-0.05, 0.04)
    assert not within_tolerance(0.30, 0.41) and not within_tolerance(10.0, 8.9)
    assert within_tolerance(None, 1.0) is None
