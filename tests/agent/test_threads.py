"""Workers that are threads: the batches of worker processes, torch's window and order, and an end that leaves no thread."""

import multiprocessing
import subprocess
import sys
import threading

import logs
import pytest
import torch
from agent_interpreter import needs_in_order
from torch.utils.data import DataLoader, Dataset

from loaderscope.agent import thread_loader
from loaderscope.agent.error_sentences import AgentError
from loaderscope.agent.layout import THREAD_WORKER_BASE, Role, State
from loaderscope.agent.messages import Consumer, ErrorInfo, TrialConfig

METHODS = multiprocessing.get_all_start_methods()
FORK = "fork" if "fork" in METHODS else METHODS[0]

SCRIPT = """
    import threading, time
    from concurrent.futures import ThreadPoolExecutor
    import torch
    from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SequentialSampler, get_worker_info

    class Numbers(Dataset):
        def __len__(self):
            return 23
        def __getitem__(self, index):
            return index

    class Bad(Numbers):
        def __getitem__(self, index):
            time.sleep(0.001)  # samples that take less are not all recorded
            if index == 17:
                raise KeyError("no label")
            return index

    class Ending(Numbers):
        def __getitem__(self, index):
            if index == 9:
                raise SystemExit(3)
            return index

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(10))

    class Random(Numbers):
        def __getitem__(self, index):
            return index if torch.rand(()) < 2 else -1

    class Seen(Numbers):
        def __getitem__(self, index):
            return [torch.get_num_threads(), int(get_worker_info() is None), int(threading.current_thread() is threading.main_thread())]

    class Nested(Numbers):
        def __getitem__(self, index):
            return sum(int(part) for part in DataLoader([torch.tensor(index), torch.tensor(100)], batch_size=None))

    class Pooled(Numbers):
        def __getitem__(self, index):
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(lambda: sum(len(batch) for batch in DataLoader([1, 2, 3, 4, index], 2))).result()

    class OwnIterator(DataLoader):
        def __iter__(self):
            for batch in super().__iter__():
                yield batch + 1000

    asked = []

    class Asked(Numbers):
        def __len__(self):
            return 40
        def __getitem__(self, index):
            asked.append(index)
            return index

    def reverse(samples):
        return torch.tensor(samples[::-1])

    numbers, bad, ending, stream, random_numbers, seen, nested, pooled, window = (
        Numbers(), Bad(), Ending(), Stream(), Random(), Seen(), Nested(), Pooled(), Asked())
    plain = DataLoader(numbers, 5, drop_last=True)
    shuffled = DataLoader(numbers, 5, shuffle=True, generator=torch.Generator().manual_seed(3))
    shuffled_globally = DataLoader(numbers, 5, shuffle=True)
    own_batches = DataLoader(numbers, batch_sampler=BatchSampler(SequentialSampler(numbers), 7, False))
    unbatched = DataLoader(numbers, batch_size=None)
    collated = DataLoader(numbers, 4, collate_fn=reverse)
    with_init = DataLoader(numbers, 4, num_workers=2, worker_init_fn=print, timeout=30)
    subclass = OwnIterator(numbers, 4)

    def train_step(batch):
        if asked:
            print("asked", len(asked), flush=True)
        print("batch", batch.tolist() if isinstance(batch, torch.Tensor) else batch, flush=True)
"""

TARGETS = ("numbers", "plain", "shuffled", "shuffled_globally", "own_batches", "unbatched", "collated", "subclass", "nested")
SETTINGS = [
    {"num_workers": 1},
    {"num_workers": 2, "prefetch_factor": 1},
    {"num_workers": 4, "prefetch_factor": 3},
    {"num_workers": 2, "persistent_workers": True},
]


@pytest.fixture(scope="module")
def agent(start_shared_agent):
    agent = start_shared_agent()
    agent.load_text(SCRIPT)
    return agent


def config_of(backend="thread", **settings):
    more = {"start_method": FORK} if backend == "process" else {}
    return TrialConfig(**{"prefetch_factor": 2, "persistent_workers": False, "in_order": True, **settings, **more}, backend=backend)


def attach(agent, target):
    answer = agent.attach(target)
    assert not isinstance(answer, ErrorInfo), answer.message


def batches_of(agent, config, **order):
    """What the script's step saw of the attached target; every trial begins with its generators as they were attached."""
    outcome = agent.trial(config, Consumer("script"), epochs=2, **order)
    assert not isinstance(outcome, ErrorInfo), outcome.message
    return agent.printed("batch", outcome.batches)


def failure(agent, target, config, **order):
    attach(agent, target)
    info = agent.trial(config, **order)
    assert isinstance(info, ErrorInfo)
    return info


def newest_log_of(agent):
    return max(agent.folder.glob(f"log-{agent.process.pid}-*"), key=lambda path: int(path.name.rpartition("-")[2]))


@pytest.mark.parametrize("target", TARGETS)
def test_threads_give_the_batches_of_worker_processes_in_their_order(agent, target):
    attach(agent, target)
    in_processes = {kept: batches_of(agent, config_of("process", num_workers=2, persistent_workers=kept)) for kept in (False, True)}
    assert all(in_processes.values())
    for number, settings in enumerate(SETTINGS):
        expected = in_processes[settings.get("persistent_workers", False)]
        assert batches_of(agent, config_of("thread", **settings), record=number % 2 == 0) == expected, settings


@needs_in_order
@pytest.mark.parametrize("target", ["shuffled", "own_batches"])
def test_out_of_order_threads_give_the_same_batches(agent, target):
    attach(agent, target)
    in_threads, in_processes = (batches_of(agent, config_of(backend, num_workers=2, in_order=False)) for backend in ("thread", "process"))
    assert sorted(in_threads) == sorted(in_processes)


def test_a_thread_computes_with_one_thread_and_has_no_worker_info(agent):
    attach(agent, "seen")
    rows = batches_of(agent, config_of(num_workers=2, batch_size=1), batches=3)
    assert len(rows) == 6
    assert all("tensor([1]), tensor([1]), tensor([0])" in row for row in rows), rows


def test_threads_never_work_beyond_the_prefetch_window(agent):
    """Before its k-th batch is stepped on, at most k batches and the window have been asked for: 2 workers by 3."""
    attach(agent, "window")
    outcome = agent.trial(config_of(num_workers=2, prefetch_factor=3, batch_size=1), Consumer("script"), batches=40)
    printed = []
    while not any(line == "batch [39]" for line in printed):
        printed += agent.output()
    asked = [int(line.split()[1]) for line in printed if line.startswith("asked")]
    assert (outcome.batches, len(asked)) == (40, 40)
    assert all(count <= min(number + 1 + 6, 40) for number, count in enumerate(asked)), asked


def test_an_exception_is_told_as_that_of_a_worker_process_is(agent):
    in_threads, in_processes = (failure(agent, "bad", config_of(backend, num_workers=2, batch_size=4)) for backend in ("thread", "process"))
    assert (in_threads.kind, in_threads.line) == ("KeyError", in_processes.line)
    assert in_threads.message == in_processes.message


def test_the_sample_that_raised_is_named(agent):
    info = failure(agent, "bad", config_of(num_workers=2, batch_size=4), record=True)
    assert "sample 17" in info.message


def test_what_would_end_a_process_ends_the_trial_and_not_the_agent(agent):
    info = failure(agent, "ending", config_of(num_workers=2, batch_size=4))
    assert info.kind == "SystemExit"
    attach(agent, "numbers")
    assert batches_of(agent, config_of(num_workers=1))


def test_an_iterable_dataset_is_refused(agent):
    assert failure(agent, "stream", config_of(num_workers=2)).kind == "unsupported"


def test_the_init_function_is_not_called_and_the_row_says_so(agent):
    attach(agent, "with_init")
    outcome = agent.trial(config_of(num_workers=2))
    assert any("worker_init_fn was not called" in note for note in outcome.notes)
    assert outcome.ran_user_code


@pytest.mark.parametrize(("target", "drawn"), [("random_numbers", ["torch"]), ("shuffled_globally", []), ("numbers", [])])
def test_a_dataset_that_draws_from_process_wide_generators_is_not_comparable(agent, target, drawn):
    """The sampler and torch's own seed draw from the same generator: they do not count."""
    attach(agent, target)
    outcome = agent.trial(config_of(num_workers=2, batch_size=4))
    assert outcome.shared_generators == drawn
    assert any("Not comparable" in note for note in outcome.notes) == bool(drawn)
    assert agent.trial(config_of("process", num_workers=1)).shared_generators is None


def test_each_thread_is_recorded_under_its_number(agent):
    attach(agent, "plain")
    outcome = agent.trial(config_of(num_workers=2), Consumer("none"), epochs=2, record=True)
    assert outcome.batches == 8
    (log,) = logs.read_logs(newest_log_of(agent))
    assert log.header["role"] == Role.MAIN
    assert logs.assert_nested(log) == []
    for state in (State.FETCH, State.COLLATE, State.SEND):
        by_thread = {}
        for begin, _ in logs.spans(log, state):
            by_thread.setdefault(begin.thread - THREAD_WORKER_BASE, []).append(begin.a)
        assert by_thread == {0: [0, 2, 0, 2], 1: [1, 3, 1, 3]}, state.name
    for state in (State.CREATE, State.LOOP_ENTRY):
        assert sorted(begin.thread - THREAD_WORKER_BASE for begin, _ in logs.spans(log, state)) == [0, 0, 1, 1], state.name
    assert [end.a for _, end in logs.spans(log, State.WAIT)] == [0, 1, 2, 3, -1] * 2
    sent = {begin.a: end.time_ns for begin, end in logs.spans(log, State.SEND)}
    arrived = {record.a: record.time_ns for record in log.records if record.state == State.ARRIVE}
    assert all(sent[batch] <= arrived[batch] for batch in sent)


class Held(Dataset):
    """Samples from 3 on are read only once they are let go."""

    def __init__(self):
        self.go = threading.Event()
        self.begun = set()
        self.held = threading.Semaphore(0)

    def __len__(self):
        return 100

    def __getitem__(self, index):
        self.begun.add(index)
        if index >= 3:
            self.held.release()
            self.go.wait(30)
        return index


def worker_threads():
    return {thread for thread in threading.enumerate() if isinstance(thread, thread_loader._Worker)}


@pytest.mark.parametrize("persistent", [False, True])
def test_leaving_an_epoch_early_joins_the_threads_and_drops_what_they_were_asked_for(persistent):
    dataset = Held()
    loader = DataLoader(dataset, 1, num_workers=2, persistent_workers=persistent)
    thread_loader.use_threads(loader)
    iterator = iter(loader)
    assert [next(iterator).item() for _ in range(3)] == [0, 1, 2]
    assert len(worker_threads()) == 2
    assert all(thread.daemon for thread in worker_threads()), "a dataset that hangs must not keep the process alive"
    assert all(dataset.held.acquire(timeout=30) for _ in range(2)), "both threads are at work"
    told = iterator._workers_done_event
    letting_go = threading.Thread(target=lambda: told.wait(30) and dataset.go.set())
    letting_go.start()
    if persistent:
        loader._iterator = None
    del iterator
    letting_go.join()
    assert not worker_threads()
    assert dataset.begun == {0, 1, 2, 3, 4}, "the two in work, not those that waited"


def test_persistent_threads_live_from_one_epoch_to_the_next():
    loader = DataLoader(list(range(8)), 2, num_workers=2, persistent_workers=True)
    thread_loader.use_threads(loader)
    first = [batch.tolist() for batch in loader]
    threads = worker_threads()
    assert [batch.tolist() for batch in loader] == first
    assert worker_threads() == threads
    assert len(threads) == 2
    loader._iterator = None
    assert not worker_threads()


def test_main_keeps_its_own_number_of_threads():
    """In a fresh process: torch settles a thread's number when it first asks, and one that asks later gets the workers' 1."""
    program = (
        "from torch.utils.data import DataLoader; import torch; from loaderscope.agent import thread_loader;"
        "loader = DataLoader(list(range(8)), 2, num_workers=2); thread_loader.use_threads(loader); list(loader);"
        "print(torch.get_num_threads())"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == [str(torch.get_num_threads())]


@pytest.mark.parametrize("target", ["nested", "pooled"])
@pytest.mark.parametrize("config", [config_of(num_workers=2, batch_size=4), TrialConfig(0, 4)], ids=["threads", "main"])
def test_a_loader_inside_the_dataset_is_not_taken_for_the_measured_one(agent, target, config):
    attach(agent, target)
    assert agent.trial(config, record=True).batches == 6
    (log,) = logs.read_logs(newest_log_of(agent))
    fetches = [begin for begin, _ in logs.spans(log, State.FETCH)]
    assert sorted(begin.a for begin in fetches) == [0, 1, 2, 3, 4, 5]
    assert [end.a for _, end in logs.spans(log, State.WAIT)] == [0, 1, 2, 3, 4, 5, -1]
    assert len(logs.spans(log, State.ITERATOR)) == 1


def test_a_loader_with_a_worker_loop_of_its_own_is_refused():
    loader = DataLoader(list(range(8)), num_workers=1)
    context = thread_loader._Context(loader)
    with pytest.raises(AgentError, match="a DataLoader runs a loop of its own"):
        context.Process(target=print, args=())


def test_batches_of_threads_can_go_through_a_pin_thread(monkeypatch):
    """The pin thread itself needs an accelerator; here one stands in that takes from and puts into the same queues."""
    pinned = []

    def pin(in_queue, out_queue, _device, done, *_rest):
        while not done.is_set():
            message = in_queue.get(timeout=30)
            if not done.is_set():
                pinned.append(message[0])
                out_queue.put(message)

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr(torch.utils.data._utils.pin_memory, "_pin_memory_loop", pin)
    loader = DataLoader(list(range(12)), 2, num_workers=2, pin_memory=True)
    thread_loader.use_threads(loader)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert sorted(pinned) == [0, 1, 2, 3, 4, 5]
    assert not worker_threads()
