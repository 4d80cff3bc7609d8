"""Batches and indices that cannot be pickled end a trial at once, with the part named, where multiprocessing would let main wait."""

import multiprocessing

import pytest
from agent_interpreter import needs_in_order

from loaderscope.agent.messages import ErrorInfo, TrialConfig, TrialOutcome

METHODS = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]
FIRST = METHODS[0]
FIRST_ONLY = [FIRST, *(pytest.param(method, marks=pytest.mark.slow) for method in METHODS[1:])]
"""The words take the same way under every start method, which one test of each direction shows."""

SCRIPT = """
    import collections, dataclasses, multiprocessing, threading, time, weakref
    import torch
    from torch.utils.data import DataLoader, Dataset, IterableDataset

    Pair = collections.namedtuple("Pair", "rows text")

    @dataclasses.dataclass
    class Record:
        rows: object
        lock: object

    class Refuses:
        def __init__(self, error):
            self.error = error
        def __getstate__(self):
            raise self.error

    class Thing:
        pass

    THING = Thing()

    def first(samples):
        return samples[0]

    class Made(Dataset):
        def __init__(self, make, at=0):
            self.make, self.at = make, at
        def __len__(self):
            return 64
        def __getitem__(self, index):
            return self.make() if index >= self.at else index

    def of(make, at=0, **options):
        return DataLoader(Made(make, at), batch_size=4, collate_fn=options.pop("collate_fn", first), **options)

    def with_lambda(): return {"x": 1, "meta": [{"fn": lambda item: item}]}
    def with_history(): return torch.ones(2, requires_grad=True) * 2
    def with_lock(): return Record([1], threading.Lock())
    def with_generator(): return Pair([1], (letter for letter in "ab"))
    def with_value_error(): return {"part": Refuses(ValueError("not me"))}
    def with_index_error(): return {"part": Refuses(IndexError("out of it"))}
    def with_exit(): return {"part": Refuses(SystemExit(3))}
    def with_reference(): return {"part": weakref.ref(THING)}
    def with_file(): return {"part": open(__file__)}
    def with_shared_lock(): return {"part": multiprocessing.Lock()}
    def too_many_files(): return Refuses(RuntimeError("unable to open shared memory object: Too many open files (24)"))
    def raises_local():
        class NotFound(Exception):
            def __init__(self, name, place):
                super().__init__("no %s in %s" % (name, place))
        raise NotFound("key", "bucket")

    lambdas, histories, locks, generators = of(with_lambda), of(with_history, collate_fn=list), of(with_lock), of(with_generator)
    value_errors, index_errors, references = of(with_value_error), of(with_index_error), of(with_reference)
    files, shared_locks, limits, raising = of(with_file), of(with_shared_lock), of(too_many_files), of(raises_local)
    exits = of(with_exit)
    late = of(with_lambda, at=40)
    unbatched = DataLoader(Made(with_lambda, at=10), batch_size=None)

    class SentLate:
        def __reduce__(self):
            STREAM_ENDED.wait(20)
            time.sleep(0.1)  # the worker sends word of the end right behind it
            return lambda: None, ()

    class Stream(IterableDataset):
        def __iter__(self):
            yield from range(11)
            yield SentLate()
            STREAM_ENDED.set()
    STREAM_ENDED = threading.Event()
    stream = DataLoader(Stream(), batch_size=4, collate_fn=list)

    class Indices:
        def __init__(self, at):
            self.at = at
        def __len__(self):
            return 64
        def __iter__(self):
            for index in range(64):
                yield (index, threading.Lock()) if index == self.at else (index, None)
    class Pairs(Dataset):
        def __len__(self):
            return 64
        def __getitem__(self, pair):
            return pair[0]
    sampled = DataLoader(Pairs(), batch_size=4, sampler=Indices(at=21))

    class Queues(Dataset):
        own = None
        def __len__(self):
            return 16
        def __getitem__(self, index):
            if self.own is None:
                self.own = multiprocessing.Queue()
            self.own.put((index, lambda item: item))
            self.own.put((index, "sent"))
            return self.own.get(timeout=20)[0]
    queues = DataLoader(Queues(), batch_size=4)
"""


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture
def agent(start_agent):
    """One for each test, as for each trial that fails."""
    agent = start_agent()
    agent.load_text(SCRIPT)
    return agent


def failure_of(agent, target, method, **config):
    attached = agent.attach(target)
    assert not isinstance(attached, ErrorInfo), attached.message
    failure = agent.trial(TrialConfig(2, None, 2, start_method=method, **config), record=True)
    assert isinstance(failure, ErrorInfo), failure
    return failure


@pytest.mark.parametrize(
    ("target", "path", "what", "remedy"),
    [
        ("lambdas", 'batch["meta"][0]["fn"]', "a lambda (train.py, line", "top level"),
        ("value_errors", 'batch["part"]', "a Refuses", "return numbers"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)  # test_unpicklable.py has the words for these
            for case in (
                ("histories", "batch[0]", "a tensor with a history of gradients", "detach()"),
                ("locks", "batch.lock", "a lock", "leave it out"),
                ("generators", "batch[1]", "a generator", "return a list"),
                ("index_errors", 'batch["part"]', "a Refuses", "return numbers"),
                ("references", 'batch["part"]', "a weak reference", "return numbers"),
                ("files", 'batch["part"]', "an open file", "return what is in it"),
                ("shared_locks", 'batch["part"]', "a lock", "leave it out"),
            )
        ),
    ],
)
def test_the_part_of_a_batch_that_cannot_be_sent_is_named(agent, target, path, what, remedy):
    failure = failure_of(agent, target, FIRST)
    assert failure.kind == "not-picklable"
    assert failure.message.startswith(f"{path} is {what}"), failure.message
    assert remedy in failure.message.partition("cannot be sent from a worker to the main process: ")[2]
    assert "worker 0, batch 0, samples 0 to 3" in failure.message
    assert "Traceback" in failure.traceback


def test_batches_before_it_are_delivered_and_the_batch_is_named(agent, method):
    failure = failure_of(agent, "late", method)
    assert failure.kind == "not-picklable"
    assert "worker 0, batch 10, samples 40 to 43" in failure.message


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"in_order": False}, marks=needs_in_order),
        {"pin_memory": True},
        pytest.param({"persistent_workers": True}, marks=pytest.mark.slow),
    ],
)
def test_it_is_told_whatever_the_options_of_the_loader(agent, options):
    failure = failure_of(agent, "late", FIRST, **options)
    assert failure.kind == "not-picklable"
    assert 'batch["meta"][0]["fn"] is a lambda' in failure.message
    assert "batch 1" in failure.message


def test_without_batches_the_sample_is_named(agent):
    assert "batch 10, sample 10;" in failure_of(agent, "unbatched", FIRST).message


@pytest.mark.parametrize("method", FIRST_ONLY)
def test_the_last_batch_of_a_stream_is_not_lost_behind_its_end(agent, method):
    failure = failure_of(agent, "stream", method)
    assert failure.message.startswith("batch[3] is a SentLate")
    assert "samples" not in failure.message  # a stream has no indices


def test_what_would_end_the_thread_that_pickles_ends_the_trial_at_once(agent):
    failure = failure_of(agent, "exits", FIRST)
    assert "SystemExit" in failure.message


def test_a_limit_of_the_system_is_told_as_one(agent):
    failure = failure_of(agent, "limits", FIRST)
    assert failure.kind == "limit"
    assert "file descriptors" in failure.message


@pytest.mark.parametrize("method", FIRST_ONLY)
def test_an_exception_of_a_class_that_cannot_be_sent_is_told_by_its_name(agent, method):
    failure = failure_of(agent, "raising", method)
    assert failure.kind == "NotFound"
    assert "no key in bucket" in failure.message
    assert "sample 0, worker 0" in failure.message


def test_indices_that_cannot_be_sent_to_a_worker_are_told_as_such(agent, method):
    failure = failure_of(agent, "sampled", method)
    assert failure.kind == "not-picklable"
    assert failure.message.startswith("indices[1][1] is a lock, which cannot be sent to a worker as an index of the sampler: ")
    assert "batch 5" in failure.message


@pytest.mark.parametrize("method", FIRST_ONLY)
def test_queues_of_the_dataset_go_on_as_they_are(agent, method):
    agent.attach("queues")
    outcome = agent.trial(TrialConfig(2, None, 2, start_method=method), record=True)
    assert isinstance(outcome, TrialOutcome), outcome.message
    assert outcome.batches == 4
