"""A sweep whose consumer is the training itself: the script's own loop takes the batches of each setting, until there are enough."""

import os
import pathlib
import subprocess
import sys

import pytest
from running import CollectingSink, nothing_left_of, request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.span_lookup import spans_of, worker_lanes
from loaderscope.analysis.verdict import judge
from loaderscope.facts.consumers import TRAINING
from loaderscope.sweep import changed_files
from loaderscope.sweep.pool import Pool, SweepError

WARM_UP = TRAINING.warm_up_batches

DATA = """
import os, sys
import torch
from torch.utils.data import DataLoader, Dataset
WORKERS = int(os.environ.get("WORKERS", "0"))
METHOD = os.environ.get("METHOD") or None
class Noisy(Dataset):
    def __len__(self):
        return 320
    def __getitem__(self, index):
        return torch.randn(8), torch.tensor(index % 2)
def make_loader(**options):
    method = METHOD if WORKERS else None
    return DataLoader(Noisy(), 16, shuffle=True, num_workers=WORKERS, multiprocessing_context=method, **options)
class Training:
    def __init__(self):
        torch.manual_seed(3)
        self.model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(0.4), torch.nn.Linear(16, 2))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        self.steps = 0
    def step(self, batch):
        values, labels = batch
        loss = torch.nn.functional.cross_entropy(self.model(values), labels)
        self.optimizer.zero_grad(); loss.backward(); self.optimizer.step()
        self.steps += 1
        if self.steps <= 5:
            print("loss", loss.item().hex(), flush=True)
"""

END = """
if __name__ == "__main__":
    main()
    open("trained.txt", "w").close()
"""

LOOPS = {
    "enumerate": "for _, batch in enumerate(make_loader()): training.step(batch)",
    "cycle": """
    import itertools
    for batch in itertools.islice(itertools.cycle(make_loader()), 50):
        training.step(batch)""",
    "schedule": """
    loader = make_loader()
    schedule = torch.optim.lr_scheduler.OneCycleLR(training.optimizer, 1.0, total_steps=len(loader))
    for batch in loader:
        training.step(batch)
        schedule.step()""",
    "prefetcher": """
    class Prefetcher:
        def __init__(self, loader): self.loader = loader
        def __iter__(self):
            iterator = iter(self.loader)
            batch = next(iterator)
            for following in iterator:
                yield batch
                batch = following
            yield batch
    for batch in Prefetcher(make_loader()):
        training.step(batch)""",
    "persistent": """
    for batch in make_loader(persistent_workers=WORKERS > 0): training.step(batch)""",
    "own iterator": """
    class Repeating(DataLoader):  # keeps its workers for all epochs, as timm's MultiEpochsDataLoader does
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self._DataLoader__initialized = False
            self.kept = super().__iter__()
        def __iter__(self):
            for _ in range(len(self)):
                yield next(self.kept)
    loader = Repeating(Noisy(), 16, shuffle=True, num_workers=WORKERS, multiprocessing_context=METHOD if WORKERS else None)
    training = Training()
    for batch in loader:
        training.step(batch)""",
}


def script_of(loop: str) -> str:
    return f"{DATA}def main():\n    training = Training()\n    {loop.strip()}\n{END}"


def plain_losses(path: pathlib.Path, workers: int, method: str) -> list[str]:
    environment = {**os.environ, "WORKERS": str(workers), "METHOD": method}
    done = subprocess.run([sys.executable, path], cwd=path.parent, env=environment, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith("loss")]


def train(path: pathlib.Path, workers: tuple[int, ...] = (0,), start_method: str = "fork", **options: object) -> CollectingSink:
    plain = {"consumer": Consumer("training"), "batches": 10, "ceiling": False, "target": "captured:0"}
    return run_pool(request(path, workers, start_method, **{**plain, **options}))


def losses_of(sink: CollectingSink, trial: int) -> list[str]:
    return [line.text for line in sink.log if line.trial == trial and line.text.startswith("loss")]


@pytest.fixture(autouse=True)
def nothing_stays():
    yield
    assert nothing_left_of(os.getpid())


def loop_case(name: str) -> object:
    """A case of a test; those that start many processes run only where all tests do."""
    return pytest.param(name, marks=[] if name == "enumerate" else pytest.mark.slow)


@pytest.mark.parametrize("name", [loop_case(name) for name in LOOPS])
def test_the_first_losses_are_those_of_a_plain_run_with_the_same_settings(tmp_path, name):
    path = write_script(tmp_path, script_of(LOOPS[name]))
    workers = (2,) if name == "persistent" else (0, 2)
    sink = train(path, workers, persistent_workers=(name == "persistent",))
    assert sink.statuses == ["ok"] * len(workers)
    assert not (tmp_path / "trained.txt").exists()
    for result in sink.results:
        losses = losses_of(sink, result.id)
        assert len(losses) == 5
        assert losses == plain_losses(path, result.config.num_workers, "fork")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_first_losses_are_those_of_a_plain_run_whatever_starts_the_workers(tmp_path, method):
    path = write_script(tmp_path, script_of(LOOPS["enumerate"]))
    sink = train(path, (2,), method)
    assert sink.statuses == ["ok"]
    assert losses_of(sink, 0) == plain_losses(path, 2, method)


def test_a_trial_ends_inside_next_and_nothing_of_the_script_is_unwound(tmp_path):
    loop = """
    import atexit, threading, time
    atexit.register(lambda: open("exit.txt", "w").close())
    try:
        for number, batch in enumerate(make_loader()):
            training.step(batch)
            print("step", number, flush=True)
    except BaseException:
        open("except.txt", "w").close()
    finally:
        open("finally.txt", "w").close()"""
    path = write_script(tmp_path, script_of(loop))
    sink = train(path, (0, 2))
    assert sink.statuses == ["ok", "ok"]
    assert {file.name for file in tmp_path.iterdir()} <= {"script.py", "__pycache__"}
    for result in sink.results:
        assert result.batches == 10 + WARM_UP
        assert [line.text for line in sink.log if line.trial == result.id and line.text.startswith("step")][-1] == f"step {9 + WARM_UP}"
        assert result.samples == 16 * result.batches
        assert result.epoch_batches == 20
        assert result.samples_per_second is not None
        assert result.wait_share + result.transfer_share + result.step_share + result.other_share == pytest.approx(1.0)
    lanes = {lane.kind for lane in sink.traces[1].lanes.values()}
    assert {"main", "worker"} <= lanes


def test_more_epochs_run_on_to_the_next_iteration_of_the_loader(tmp_path):
    loop = """
    loader, others = make_loader(), DataLoader(Noisy(), 64)
    for _ in range(5):
        for batch in loader: training.step(batch)
        for _ in others: pass  # validates"""
    path = write_script(tmp_path, script_of(loop))
    sink = train(path, (2,), epochs=2, persistent_workers=(True,))
    assert sink.statuses == ["ok"]
    assert [times.batches for times in sink.results[0].epochs] == [20, 10 + WARM_UP]
    pids = [process.pid for process in sink.traces[0].processes if process.name.startswith("worker")]
    assert len(set(pids)) == 2  # the workers persist


@pytest.mark.slow
def test_a_training_that_leaves_its_loop_early_shows_epochs_of_that_length(tmp_path):
    loop = """
    loader = make_loader()
    for _ in range(50):
        for number, batch in enumerate(loader):
            training.step(batch)
            if number == 11:
                break"""
    path = write_script(tmp_path, script_of(loop))
    sink = train(path, (0,), epochs=3, batches=100)
    assert sink.statuses == ["ok"]
    assert [times.batches for times in sink.results[0].epochs] == [12, 12, 12]
    assert sink.results[0].epoch_batches == 12


def test_a_script_that_makes_a_loader_for_each_epoch_is_measured_in_all_of_them(tmp_path):
    loop = """
    import gc, weakref
    previous = None
    for epoch in range(1000):
        loader = make_loader(persistent_workers=False)
        for batch in loader: training.step(batch)
        if previous is not None:
            gc.collect()
            print("dropped", previous() is None, flush=True)
        previous = weakref.ref(loader)
        for _ in DataLoader(Noisy(), 64): pass  # validates"""
    sink = train(write_script(tmp_path, script_of(loop)), (1,), epochs=3)
    assert sink.statuses == ["ok"]
    assert [times.batches for times in sink.results[0].epochs] == [20, 20, 10 + WARM_UP]
    assert {line.text for line in sink.log if line.text.startswith("dropped")} == {"dropped True"}
    assert len([process for process in sink.traces[0].processes if process.name == "worker-0"]) == 3


def test_a_training_that_ends_early_counts_what_it_took(tmp_path):
    loop = """
    import atexit
    atexit.register(lambda: open("exit.txt", "w").close())
    for number, batch in enumerate(make_loader()):
        training.step(batch)
        if number == 13: sys.exit()"""
    path = write_script(tmp_path, script_of(loop))
    sink = train(path, (0,), batches=1000)
    assert sink.statuses == ["ok"]
    assert sink.results[0].batches == 14
    assert any("14 batches" in note for note in sink.results[0].notes)
    assert (tmp_path / "exit.txt").exists()  # as in a plain run


def test_a_training_that_ends_during_the_last_step_of_the_trial_is_measured(tmp_path):
    loop = f"for _, batch in zip(range({10 + WARM_UP}), make_loader()): training.step(batch)"  # asks for no batch after that step
    sink = train(write_script(tmp_path, script_of(loop)), (0, 2), timeout_s=20.0)
    assert [(result.status, result.batches) for result in sink.results] == [("ok", 10 + WARM_UP)] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "loop",
    [
        """
    import itertools
    for number, batch in enumerate(itertools.islice(itertools.cycle(make_loader()), 2000)):
        training.step(batch)
        if number % 10 == 9: print("taken", number + 1, flush=True)""",
        """
    for _, batch in zip(range(5), make_loader()): training.step(batch)  # pretraining
    for number, batch in enumerate(DataLoader(Noisy(), 1, sampler=range(320))):
        training.step(batch)
        if number % 10 == 9: print("taken", number + 1, flush=True)""",
        """
    for stage in [DataLoader(Noisy(), 16) for _ in range(20)]:
        for batch in stage: training.step(batch)
        print("taken", training.steps, flush=True)""",
    ],
    ids=["cycle", "pretraining", "stages"],
)
def test_a_training_that_never_iterates_the_loader_again_ends_soon(tmp_path, loop):
    path = write_script(tmp_path, script_of(loop))
    sink = train(path, (0,), batches=40, epochs=3)
    assert sink.statuses == ["ok"]
    assert sink.results[0].batches in (5, 20)
    limit = 40 + WARM_UP
    taken = [int(line.text.split()[1]) for line in sink.log if line.text.startswith("taken")]
    assert max(taken) <= 20 + limit
    assert not (tmp_path / "trained.txt").exists()


@pytest.mark.slow
def test_a_validation_longer_than_the_trial_is_waited_through(tmp_path):
    loop = """
    loader, validation = make_loader(), DataLoader(Noisy(), 1)
    for _ in range(50):
        for batch in loader: training.step(batch)
        with torch.no_grad():
            for batch in validation: pass"""
    sink = train(write_script(tmp_path, script_of(loop)), (0,), batches=10, epochs=3)
    assert sink.statuses == ["ok"]
    assert [times.batches for times in sink.results[0].epochs] == [20, 20, 10 + WARM_UP]


@pytest.mark.slow
def test_an_exit_within_the_training_is_told_with_what_it_had_taken(tmp_path):
    loop = """
    for number, batch in enumerate(make_loader()):
        training.step(batch)
        if number == 9: sys.exit("bad loss")"""
    sink = train(write_script(tmp_path, script_of(loop)), (0,))
    assert sink.statuses == ["failed"]
    message = sink.results[0].error.message
    assert "bad loss" in message and "10 batches" in message
    assert "first DataLoader" not in message


def test_a_training_that_fails_says_where_and_after_how_many_batches(tmp_path):
    loop = """
    for number, batch in enumerate(make_loader()):
        if number == 7: raise ArithmeticError("loss is nan")
        training.step(batch)"""
    path = write_script(tmp_path, script_of(loop))
    sink = train(path, (0,))
    assert sink.statuses == ["failed"]
    error = sink.results[0].error
    assert error.kind == "ArithmeticError"
    assert error.line == path.read_text().splitlines().index('        if number == 7: raise ArithmeticError("loss is nan")') + 1
    assert "8 batches" in error.message


def test_a_loader_in_a_thread_is_measured_without_a_share_of_waiting(tmp_path):
    loop = """
    import queue, threading
    batches = queue.Queue(2)
    def read():
        for batch in make_loader(): batches.put(batch)
        batches.put(None)
    threading.Thread(target=read).start()
    for batch in iter(batches.get, None): training.step(batch)"""
    sink = train(write_script(tmp_path, script_of(loop)), (0,))
    assert sink.statuses == ["ok"]
    assert sink.results[0].batches == 10 + WARM_UP
    assert sink.results[0].wait_share is None


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_training_in_a_child_of_the_script_is_measured_there(tmp_path, start):
    loop = f"""
    import torch.multiprocessing
    context = torch.multiprocessing.get_context("{start}")
    child = context.Process(target=train_all)
    child.start()
    child.join()"""
    text = DATA + "def train_all():\n    training = Training()\n    for batch in make_loader(): training.step(batch)\n"
    path = write_script(tmp_path, text + f"def main():\n    {loop.strip()}\n{END}")
    sink = train(path, (0,))
    assert sink.statuses == ["ok"]
    assert sink.results[0].batches == 10 + WARM_UP
    assert not (tmp_path / "trained.txt").exists()
    failing = path.read_text().replace("training.step(batch)\n", "training.step(batch); 1 / (training.steps < 7)\n")
    path.write_text(failing)
    sink = train(path, (0,))
    assert sink.statuses == ["failed"]
    assert sink.results[0].error.kind == "ZeroDivisionError"


@pytest.mark.slow
def test_a_batch_size_is_set_in_the_sampler_of_the_scripts_own_loader(tmp_path):
    loop = """
    loader = make_loader()
    for batch in loader:
        print("size", len(batch[1]), len(loader), loader.batch_size, flush=True)
        training.step(batch)"""
    sink = train(write_script(tmp_path, script_of(loop)), (0,), batch_size=(16, 40), batches=2)
    assert sink.statuses == ["ok", "ok"]
    sizes = {
        result.id: [line.text for line in sink.log if line.trial == result.id and line.text.startswith("size")] for result in sink.results
    }
    assert set(sizes[0]) == {"size 16 20 16"}
    assert set(sizes[1]) == {"size 40 8 40"}


@pytest.mark.parametrize(
    "change", [{"shuffle": True}, {"seed": 4}, {"device": "cpu"}, {"gpu_window": 5}, {"startup": True}, {"target": "dataset"}]
)
def test_what_the_script_itself_decides_cannot_be_asked_for(tmp_path, change):
    path = write_script(tmp_path, script_of(LOOPS["enumerate"]))
    with pytest.raises(SweepError) as error:
        train(path, **change)
    assert error.value.info.kind == "unsupported"


@pytest.mark.slow
def test_two_loaders_of_a_training_are_told_apart(tmp_path):
    loop = """
    real, fake = make_loader(), make_loader()
    for batch, other in zip(real, fake):
        training.step(batch)
        print("workers", real.num_workers, fake.num_workers, flush=True)"""
    sink = train(write_script(tmp_path, script_of(loop)), (2,), target="captured:1")
    assert sink.statuses == ["ok"]
    assert any(line.text == "workers 0 2" for line in sink.log)
    assert sink.results[0].batches == 10 + WARM_UP
    assert list(spans_of(sink.traces[0], "main", State.WAIT).batch) == list(range(10 + WARM_UP))
    assert spans_of(sink.traces[0], "main", State.FETCH).size == 0  # of the other loader, in main


def test_a_perfect_loader_serves_the_training_from_memory_whatever_it_does_with_its_batches(tmp_path):
    loop = """
    loader = DataLoader([{"x": torch.full((2,), float(i)), "y": i} for i in range(40)], 4, num_workers=WORKERS)
    for _ in range(3):
        for number, batch in enumerate(loader):
            print("batch", number, batch["x"][:, 0].tolist(), flush=True)
            batch["x"].mul_(2)
            del batch["y"]"""
    path = write_script(tmp_path, script_of(loop))
    sink = train(path, (2,), ceiling=True, batches=20, epochs=2)
    assert sink.statuses == ["ok", "ok"]
    assert [trial.perfect_loader for trial in sink.started] == [result.perfect_loader for result in sink.results] == [False, True]
    plain, perfect = ([line.text for line in sink.log if line.trial == number and line.text.startswith("batch")] for number in (0, 1))
    assert perfect == plain  # as they were fetched, in as many epochs
    assert not worker_lanes(sink.traces[1])
    assert any("in place" in note for note in sink.results[1].notes)


@pytest.mark.slow
def test_a_perfect_loader_takes_the_place_of_one_that_keeps_its_iterator(tmp_path):
    sink = train(write_script(tmp_path, script_of(LOOPS["own iterator"])), (0,), ceiling=True, batches=8)
    assert [(result.status, result.batches) for result in sink.results] == [("ok", 8 + WARM_UP)] * 2


UNSERVABLE = """
    loader = DataLoader(torch.arange(40.0), 4, collate_fn=lambda samples: torch.nn.Parameter(torch.stack(samples)))
    for number, batch in enumerate(loader):
        print("batch", number, flush=True)"""


@pytest.mark.slow
def test_batches_that_cannot_be_served_from_memory_give_no_ceiling_and_end_the_trial_before_its_first_step(tmp_path):
    sink = train(write_script(tmp_path, script_of(UNSERVABLE)), (0,), ceiling=True, batches=5)
    plain, perfect = sink.results
    assert sink.statuses == ["ok", "ok"] and perfect.error is None
    assert not any(line.trial == 1 and line.text.startswith("batch") for line in sink.log)
    assert [note for note in perfect.notes if "Parameter" in note] == [perfect.samples_per_second_reason]
    assert perfect.samples_per_second is perfect.batches_per_second is None
    assert judge(sink.run, sink.results).ceiling is None
    assert plain.samples_per_second is not None


WRITING = """
    import glob
    for old in glob.glob("model-*.pt"):
        os.remove(old)
    open(f"model-{os.getpid()}.pt", "w").close()
    for batch in make_loader(): training.step(batch)"""


def train_and_confirm(path: pathlib.Path, answer: bool) -> tuple[CollectingSink, list[list[str]]]:
    asked, sink, questions = (
        request(path, (0, 2), "fork", consumer=Consumer("training"), batches=10, target="captured:0"),
        CollectingSink(),
        [],
    )

    def confirm(files: list[str]) -> bool:
        questions.append(files)
        return answer

    Pool(asked, sink, confirm_changes=confirm).run()
    return sink, questions


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_the_first_trial_changed_is_confirmed_before_the_second(tmp_path, goes_on):
    path = write_script(tmp_path, script_of(WRITING))
    (tmp_path / "model-mine.pt").touch()
    sink, questions = train_and_confirm(path, goes_on)
    (files,) = questions
    assert len(files) >= 2 and "model-mine.pt" in files  # removed, and written
    assert sink.statuses == ["ok", "ok"][: 1 + goes_on]
    assert sink.finished == [not goes_on]
    (line,) = [line.text for line in sink.log if "model-mine.pt" in line.text]
    assert str(tmp_path) in line


@pytest.mark.slow
def test_nothing_is_asked_where_the_first_trial_changed_nothing(tmp_path):
    sink, questions = train_and_confirm(write_script(tmp_path, script_of(LOOPS["enumerate"])), False)
    assert sink.statuses == ["ok", "ok"]
    assert questions == []


@pytest.mark.slow
def test_a_folder_with_too_many_files_to_look_at_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(changed_files, "MOST_FILES", 0)
    sink, questions = train_and_confirm(write_script(tmp_path, script_of(WRITING)), False)
    assert sink.statuses == ["ok", "ok"]
    assert questions == []
    assert len([line for line in sink.log if str(tmp_path) in line.text and "too many" in line.text]) == 1


@pytest.mark.parametrize("kind", ["training", "none"])
def test_only_a_script_whose_training_runs_finds_the_variable(tmp_path, kind):
    loop = """
    print("told", os.environ.get("LOADERSCOPE"), flush=True)
    for batch in make_loader(): training.step(batch)"""
    sink = train(write_script(tmp_path, script_of(loop)), consumer=Consumer(kind), probe=True)
    told = {line.text for line in sink.log if line.text.startswith("told")}
    assert told == {"told 1" if kind == "training" else "told None"}
