"""Trials: their time against arithmetic, their limits, what is rebuilt of the user's loader, and how failures are told."""

import itertools
import multiprocessing

import pytest

from loaderscope.agent.messages import Consumer, ErrorInfo, TrialConfig

METHODS = multiprocessing.get_all_start_methods()
FORK = "fork" if "fork" in METHODS else METHODS[0]
FETCH_S = 0.01

SCRIPT = """
    import os, threading, time
    import torch
    from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler, get_worker_info

    class Slow(Dataset):
        def __init__(self, length=400, wait_s=0.01):
            self.length, self.wait_s = length, wait_s
        def __len__(self):
            return self.length
        def __getitem__(self, index):
            time.sleep(self.wait_s)
            return index

    class Stream(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
            return iter(torch.arange(1000)[worker::workers])

    class Bad(Slow):
        def __getitem__(self, index):
            if index == 17:
                raise KeyError("no label")
            time.sleep(0.001)
            return index

    class Deadly(Slow):
        def __getitem__(self, index):
            if index == 6:
                os._exit(5)
            return index

    class Lazy(Slow):
        wait_s = 0.0
        file = None
        def __getitem__(self, index):
            if self.file is None:
                self.file = open(__file__, "rb")
            return index

    class Holder:
        def __init__(self):
            self.lock = threading.Lock()

    class Unpicklable(Slow):
        def __init__(self):
            super().__init__()
            self.parts = {"first": 1, "tools": Holder()}

    class Fixed(DataLoader):
        def __init__(self, source):
            super().__init__(source, batch_size=4, num_workers=1, collate_fn=list, shuffle=False)
            self.extra = "kept"
        def __iter__(self):
            assert self.extra == "kept"
            return super().__iter__()

    class Sevens(BatchSampler):
        pass

    slow, fast, stream, bad, deadly, lazy, unpicklable = Slow(), Slow(23, 0.0), Stream(), Bad(), Deadly(), Lazy(), Unpicklable()
    plain = DataLoader(fast, 5, True, generator=torch.Generator().manual_seed(3), drop_last=True)
    fixed = Fixed(fast)
    own_batches = DataLoader(fast, batch_sampler=Sevens(SequentialSampler(fast), 7, False))
    unbatched = DataLoader(stream, batch_size=None)
    own_sampler = DataLoader(fast, batch_size=5, sampler=RandomSampler(fast, num_samples=11, generator=torch.Generator()))

    with_lambda = DataLoader(fast, collate_fn=lambda samples: samples)

    def local():
        class Local(Slow):
            pass
        return Local()

    def train_step(batch):
        print("batch", batch if isinstance(batch, list) else batch.tolist(), flush=True)
"""


@pytest.fixture(scope="module")
def agent(start_shared_agent):
    """One agent for all: in these tests what a trial leaves behind does not matter."""
    agent = start_shared_agent()
    agent.load_text(SCRIPT)
    return agent


def attach(agent, name):
    answer = agent.attach(name)
    assert not isinstance(answer, ErrorInfo), answer.message
    return answer


def batches_of(agent, config, **order):
    """The batches that the script's step saw."""
    outcome = agent.trial(config, Consumer("script"), **order)
    assert not isinstance(outcome, ErrorInfo), outcome.message
    return [[int(number) for number in line[7:-1].split(",")] for line in agent.printed("batch", outcome.batches)]


TIMED = """
    import time, torch
    spent_s = 0.0

    def wait(seconds):
        global spent_s
        start_s = time.perf_counter()
        time.sleep(seconds)
        spent_s += time.perf_counter() - start_s

    class Timed(torch.utils.data.Dataset):
        def __len__(self):
            return 400
        def __getitem__(self, index):
            wait(0.01)
            return index

    timed = Timed()

    def train_step(batch):
        wait(0.02)
        print("spent", spent_s, flush=True)
"""


def test_a_trial_takes_the_time_that_its_waits_add_up_to(start_agent, write):
    """15 batches of 4 samples at 10 ms and a step of 20 ms, two epochs; the script tells how long its sleeps really took."""
    agent = start_agent()
    agent.load(write(TIMED))
    attach(agent, "timed")
    spent_before_s = 0.0
    for record in (False, True):
        outcome = agent.trial(TrialConfig(0, 4), Consumer("script"), batches=15, epochs=2, record=record)
        assert (outcome.batches, outcome.samples, outcome.epoch_batches) == (30, 120, [15, 15])
        spent_s = float(agent.printed("spent", 30)[-1].split()[1])
        assert spent_s - spent_before_s >= 30 * (4 * 0.01 + 0.02)
        # nothing is counted twice, and little is added; how little, a busy machine cannot tell
        assert 0 <= outcome.seconds - (spent_s - spent_before_s) < 0.25 * outcome.seconds
        assert (outcome.event_seconds is not None) == record
        spent_before_s = spent_s


def test_a_simulated_step_takes_its_milliseconds(agent):
    attach(agent, "fast")
    for kind in ("sleep", "burn"):
        short, long = (agent.trial(TrialConfig(0, 4), Consumer(kind, ms), batches=5) for ms in (1.0, 20.0))
        assert long.seconds >= 5 * 0.02
        assert 5 * 0.001 <= short.seconds < long.seconds


def test_workers_share_the_waiting(agent):
    """Two workers take half the time of the fetches, and a burning step of 5 ms hides behind them."""
    attach(agent, "slow")
    fetch_s = 24 * 4 * FETCH_S / 2
    for _ in range(3):  # a busy machine may need another try
        outcome = agent.trial(TrialConfig(2, 4, 2, start_method=FORK), Consumer("burn", 5.0), batches=24)
        assert (outcome.batches, outcome.ran_user_code) == (24, False)
        assert fetch_s <= outcome.seconds
        if FORK != "fork" or outcome.seconds < fetch_s * 1.6:  # one worker would take twice as long
            return
    pytest.fail(f"{outcome.seconds} s for fetches of {fetch_s} s in each of two workers")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_an_iterable_dataset_is_limited_and_starts_anew_each_epoch(agent, workers, persistent):
    attach(agent, "stream")
    if workers:
        config = TrialConfig(workers, 8, 2, persistent_workers=persistent, start_method=FORK)
        expected = [list(range(batch % 2 + batch // 2 * 16, batch % 2 + batch // 2 * 16 + 16, 2)) for batch in range(5)]
    else:
        config = TrialConfig(0, 8)
        expected = [list(range(batch * 8, batch * 8 + 8)) for batch in range(5)]
    assert batches_of(agent, config, batches=5, epochs=2) == expected * 2


def test_an_iterable_dataset_is_counted_to_its_short_last_batch(agent):
    attach(agent, "stream")
    outcome = agent.trial(TrialConfig(0, 64), batches=None)
    assert (outcome.batches, outcome.samples) == (16, 1000)


def test_the_loaders_own_order_and_arguments_are_kept_and_every_trial_begins_alike(agent):
    attach(agent, "plain")
    first = batches_of(agent, TrialConfig(0, None), epochs=2)
    again = batches_of(agent, TrialConfig(1, None, 2, start_method=FORK), epochs=2)
    assert first == again
    assert [len(batch) for batch in first] == [5] * 8  # drop_last leaves 20 of 23
    assert first[:4] != first[4:]
    assert sorted(itertools.chain(*first[:4])) != list(range(20))
    changed = batches_of(agent, TrialConfig(0, 4), shuffle=False)
    assert changed == [[4 * batch + sample for sample in range(4)] for batch in range(5)]


def test_a_dataset_is_shuffled_by_the_seed(agent):
    attach(agent, "fast")
    config = TrialConfig(0, 23)
    assert batches_of(agent, config) == [list(range(23))]
    shuffled = [batches_of(agent, config, shuffle=True, seed=seed)[0] for seed in (1, 1, 2)]
    assert shuffled[0] == shuffled[1] != shuffled[2]


def test_samplers_of_the_user_are_used_again(agent):
    attach(agent, "own_sampler")
    first, again = (batches_of(agent, TrialConfig(0, 4)) for _ in range(2))
    assert first == again
    assert [len(batch) for batch in first] == [4, 4, 3]
    assert sorted(itertools.chain(*first)) != sorted(range(11))
    attach(agent, "own_batches")
    assert [len(batch) for batch in batches_of(agent, TrialConfig(0, None))] == [7, 7, 7, 2]
    assert batches_of(agent, TrialConfig(0, None), batches=1) == [list(range(7))]


def test_a_subclass_with_a_signature_of_its_own_keeps_what_it_added(agent):
    attach(agent, "fixed")
    config = TrialConfig(2, 6, 2, start_method=FORK)
    assert [len(batch) for batch in batches_of(agent, config)] == [6, 6, 6, 5]
    assert batches_of(agent, TrialConfig(0, 6), batches=1) == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("target", "config", "order", "words"),
    [
        ("own_batches", TrialConfig(0, 16), {}, "batch_sampler of its own"),
        ("unbatched", TrialConfig(0, 16), {}, "batch_size=None"),
        ("stream", TrialConfig(0, 8), {"shuffle": True}, "cannot be shuffled"),
        ("fast", TrialConfig(1, 8, 2, start_method="teleport"), {}, "cannot start workers with teleport"),
        ("fast", TrialConfig(0, 8), {"device": "cuda:7"}, "cannot be moved to cuda:7"),
        ("fast", TrialConfig(0, 8), {"consumer": Consumer("cuda", 5.0)}, "CUDA"),
        ("fast", TrialConfig(0, 8), {"consumer": Consumer("device", 5.0)}, "accelerator"),
        ("fast", TrialConfig(0, 8), {"consumer": Consumer("sleep")}, "milliseconds"),
        ("fast", TrialConfig(0, 8), {"consumer": Consumer("dance", 1.0)}, "no consumer called dance"),
    ],
)
def test_what_is_impossible_is_refused_in_a_sentence(agent, target, config, order, words):
    attach(agent, target)
    failure = agent.trial(config, **order)
    if not isinstance(failure, ErrorInfo) and order.get("consumer", Consumer()).kind in ("cuda", "device"):
        pytest.skip("there is an accelerator")
    assert failure.kind == "unsupported"
    assert words in failure.message


@pytest.mark.parametrize("config", [TrialConfig(0, 4), TrialConfig(2, 4, 2, start_method=FORK)])
def test_a_sample_that_raises_is_named_with_its_line(start_agent, write, config):
    agent = start_agent()
    agent.load(write(SCRIPT))
    attach(agent, "bad")
    failure = agent.trial(config, record=True)
    line = SCRIPT.splitlines().index('                raise KeyError("no label")') + 1
    assert (failure.kind, failure.line, failure.file) == ("KeyError", line, str(agent.folder / "train.py"))
    assert "no label" in failure.message
    assert "sample 17" in failure.message
    assert f"train.py, line {line}, in __getitem__" in failure.message
    assert "Traceback" in failure.traceback


def test_a_worker_that_ends_is_told_as_such(start_agent, write):
    agent = start_agent()
    agent.load(write(SCRIPT))
    attach(agent, "deadly")
    failure = agent.trial(TrialConfig(1, 4, 2, start_method=FORK))
    assert failure.kind == "worker-died"
    assert FORK != "fork" or "exit code 5" in failure.message


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("unpicklable", 'dataset.parts["tools"].lock is a lock, which cannot be sent to a worker: make it in the worker'),
        ("with_lambda", "collate_fn is a lambda (train.py, line"),
        ("local", "the dataset is an object of the class Local that is defined inside"),
    ],
)
def test_what_cannot_be_pickled_is_named_by_its_attribute(agent, target, words):
    attach(agent, target)
    failure = agent.trial(TrialConfig(1, None if target == "with_lambda" else 4, 2, start_method="spawn"))
    assert failure.kind == "not-picklable"
    assert words in failure.message


def test_the_fingerprint_changes_when_the_dataset_was_read_here_and_only_then(agent):
    before = attach(agent, "lazy")["fingerprint"]
    kept = agent.trial(TrialConfig(1, 4, 2, start_method=FORK), batches=2)
    assert kept.fingerprint == before
    read_here = agent.trial(TrialConfig(0, 4), batches=2)
    assert read_here.fingerprint != before
    assert read_here.ran_user_code


def test_a_device_gets_the_batches_whatever_they_are_nested_in(agent):
    """On the CPU, where a transfer changes nothing; it is drawn all the same, and device times are said to be missing."""
    attach(agent, "fast")
    outcome = agent.trial(TrialConfig(0, 4), Consumer("sleep", 0.0), device="cpu", h2d="non_blocking", record=True)
    assert outcome.batches == 6
    assert any("device times are not available" in note for note in outcome.notes)
    assert not outcome.pinned


def test_a_forkserver_imports_what_it_is_told_to_before_the_workers_start(start_agent, write):
    if "forkserver" not in METHODS:
        pytest.skip("this system has no forkserver")
    write("import os\nprint('preloaded in', os.getpid(), flush=True)\n", "heavy.py")
    agent = start_agent()
    agent.load(write("import torch\nsquares = torch.utils.data.TensorDataset(torch.arange(8))\n"))
    attach(agent, "squares")
    config = TrialConfig(2, 4, 2, start_method="forkserver", forkserver_preload=("torch", "heavy"))
    outcome = agent.trial(config)
    assert not isinstance(outcome, ErrorInfo), outcome.message
    assert len([line for line in agent.close() if line.startswith("preloaded")]) == 1


def test_a_step_is_made_once_and_in_the_agent_only(start_agent, write):
    agent = start_agent()
    agent.load(
        write(
            """
            import os, torch
            squares = torch.utils.data.TensorDataset(torch.arange(8))
            def make_train_step():
                print("made in", os.getpid(), flush=True)
                return lambda batch: print("step", int(batch[0].sum()), flush=True)
            """
        )
    )
    attach(agent, "squares")
    outcome = agent.trial(TrialConfig(1, 4, 2, start_method=METHODS[-1]), Consumer("script"))
    assert not isinstance(outcome, ErrorInfo), outcome.message
    assert agent.close() == [f"made in {agent.process.pid}", "step 6", "step 22"]


ENDS_EARLY = """
import torch
from torch.utils.data import DataLoader, Dataset
class Ends(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        if index == 17:
            next(iter(()))
        return torch.tensor(index)
class Halves(DataLoader):
    def __iter__(self):
        for number, batch in enumerate(super().__iter__()):
            if number % 2:
                yield batch
class Leaves(Ends):
    def __getitem__(self, index):
        if index == 17:
            raise SystemExit
        return torch.tensor(index)
class Ragged(Ends):
    def __getitem__(self, index):
        return torch.zeros(index % 2 + 1)
class Odd(Ends):
    def __getitem__(self, index):
        return object()
ends, ragged, leaves, odd = Ends(), Ragged(), Leaves(), Odd()
halves = Halves([torch.zeros(1)] * 64, batch_size=4)
"""


@pytest.mark.parametrize("config", [TrialConfig(0, 4), TrialConfig(2, 4, 2, start_method=FORK)])
def test_a_stop_iteration_of_the_dataset_does_not_pass_for_the_end_of_an_epoch(start_agent, write, config):
    agent = start_agent()
    agent.load(write(ENDS_EARLY))
    attach(agent, "ends")
    failure = agent.trial(config)
    assert failure.kind == "StopIteration"
    assert "after 4 of its batches" in failure.message
    attach(agent, "halves")
    assert agent.trial(config).batches == 8  # a loader that leaves out batches on purpose


@pytest.mark.parametrize("config", [TrialConfig(0, 4), TrialConfig(2, 4, 2, start_method=FORK)])
def test_samples_that_no_batch_can_be_made_of_are_told_without_blaming_the_last_one(start_agent, write, config):
    agent = start_agent()
    agent.load(write(ENDS_EARLY))
    attach(agent, "odd")
    failure = agent.trial(config, record=True)
    assert "when the samples of a batch were put together" in failure.message
    assert "sample 3" not in failure.message


def test_a_worker_that_leaves_has_died(start_agent, write):
    agent = start_agent()
    agent.load(write(ENDS_EARLY))
    attach(agent, "leaves")
    assert agent.trial(TrialConfig(2, 4, 2, start_method=FORK)).kind == "worker-died"


def test_a_module_that_cannot_be_preloaded_is_told(start_agent, write):
    agent = start_agent()
    agent.load(write(ENDS_EARLY))
    attach(agent, "ragged")
    failure = agent.trial(TrialConfig(1, 4, 2, start_method="forkserver", forkserver_preload=("no_such_module",)))
    assert "no_such_module" in failure.message
