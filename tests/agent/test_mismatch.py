"""Samples that cannot be put together are named with what is wrong with them, and only where that is why."""

import collections
import multiprocessing

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from loaderscope.agent.messages import ErrorInfo, TrialConfig
from loaderscope.agent.mismatch import explain
from loaderscope.agent.patches import hide_frame

METHODS = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]
Pair = collections.namedtuple("Pair", "rows label")


class Odd:
    """What torch's collate does not take."""


class Refusing(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.stack:
            raise ValueError("a refusal of its own")
        return super().__torch_function__(function, types, args, kwargs)


def why(samples, collate_fn=default_collate, indices=None):
    """What is told of the exception that these samples really cause."""
    try:
        collate_fn(samples)
    except Exception as error:
        hide_frame(error)
        return explain(error, samples, list(range(100, 100 + len(samples))) if indices is None else indices)
    raise AssertionError("they were put together")


def zeros(*sizes):
    return [torch.zeros(size) for size in sizes]


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (zeros(3, 3, 4, 3), "sample 102 is of shape [4], the 3 others [3]"),
        (zeros(3, 4), "sample 100 is of shape [3], the other [4]"),
        (zeros(3, 4, 3, 4, 3), "samples 101 and 103 are of shape [4], the 3 others [3]"),
        (zeros(*[3, 4] * 4), "4 samples (100, 102, 104 …) are of shape [3], the 4 others [4]"),
        (zeros(3, 4, 3, 5), "the samples are of 3 different shapes: [3] (2 times), [4] (sample 101), [5] (sample 103)"),
        (zeros(1, 2, 3, 4, 4), "the samples are of 4 different shapes, such as [4] (2 times), [1] (sample 100), [2] (sample 101)"),
        ([{"x": 1, "y": item} for item in zeros(2, 3, 2)], 'sample 101 has "y" of shape [3], the 2 others [2]'),
        ([{"a": {"b": (1, item)}} for item in zeros(2, 3, 2)], 'sample 101 has ["a"]["b"][1] of shape [3], the 2 others [2]'),
        ([(np.zeros(2), 1), (np.zeros(2), 2), (np.zeros(3), 3)], "sample 102 has item 0 of shape [3], the 2 others [2]"),
        ([Pair(1, item) for item in zeros(2, 2, 1)], "sample 102 has item 1 of shape [1], the 2 others [2]"),
        ([{"x": [1, 2]}, {"x": [1, 2]}, {"x": [1]}], 'sample 102 has "x" of length 1, the 2 others 2'),
        ([{"x": torch.zeros(1)}, {"x": None}, {"x": torch.zeros(1)}], 'sample 101 has "x" of type NoneType, the 2 others Tensor'),
        ([{"x": None}, {"x": 1.0}, {"x": 2}], 'sample 100 has "x" of type NoneType, the 2 others number'),
        ([None, {"x": 1}, {"x": 1}], "sample 100 is of type NoneType, the 2 others dict"),
        ([{"x": 1}, {"x": "one"}, {"x": 2}], 'sample 101 has "x" of type str, the 2 others number'),
        ([{"x": 1, "y": 1}, {"x": 2}, {"x": 3, "y": 1}], 'sample 101 has no "y", which the 2 others have'),
        ([{"x": 1, "y": 1}, {"x": 2}, {"x": 3}], 'only sample 100 has "y"'),
        ([{"a": {"y": 1}}, {"a": {}}, {"a": {"y": 1}}], 'sample 101 has no ["a"]["y"], which the 2 others have'),
        ([{"x": np.zeros(1)}, {"x": np.array([{}])}, {"x": np.zeros(1)}], 'sample 101 has "x" of dtype object, the 2 others float64'),
    ],
)
def test_the_samples_that_differ_are_named(samples, told):
    sentence = why(samples)
    assert sentence is not None
    assert sentence.startswith(f"{told} (torch's default collate "), sentence
    assert sentence.endswith("in the dataset, or give a collate_fn")


@pytest.mark.parametrize(
    "samples",
    [
        [None, None],
        [Odd(), Odd()],
        [Odd(), None],  # neither is taken
        [1, 2**70],  # alike, but too large
        [{"x": item, "y": Odd()} for item in zeros(2, 2)],
        [{"y": Odd(), "x": item} for item in zeros(2, 3)],  # the lengths are not what fails
        [torch.zeros(size).to_sparse() for size in (2, 3)],  # not taken, of whatever shape
        [np.array(["a"]), np.array(["b", "c"])],
        [torch.zeros(size).as_subclass(Refusing) for size in (2, 3)],
    ],
)
def test_samples_that_fail_otherwise_are_not_blamed(samples):
    assert why(samples) is None


def stacks(samples):
    return torch.stack([sample["x"] for sample in samples])


def stacks_arrays(samples):
    return np.stack([sample["x"] for sample in samples])


def without_missing(samples):
    return default_collate([sample for sample in samples if sample is not None])


def changes(samples):
    return default_collate([{"x": sample["x"] + 1} for sample in samples])


def columns(samples):
    xs, _ = zip(*samples, strict=True)
    return default_collate(xs)


def last_two(samples):
    return default_collate([sample["x"] for sample in samples[2:]])


def fails_itself(samples):
    return samples[0]["label"]


def fails_beside(samples):
    return torch.stack([torch.zeros(1), torch.zeros(2)])


def arrays(*sizes):
    return [{"x": np.zeros(size)} for size in sizes]


def tensors(*sizes):
    return [{"x": item} for item in zeros(*sizes)]


@pytest.mark.parametrize(
    ("collate_fn", "samples", "told"),
    [
        (stacks, tensors(2, 2, 3), 'sample 102 has "x" of shape [3], the 2 others [2] (torch.stack can only stack equal shapes)'),
        (stacks_arrays, arrays(2, 2, 3), 'sample 102 has "x" of shape [3], the 2 others [2] (numpy.stack can only stack equal shapes)'),
        (without_missing, [None, *tensors(2, 2, 3)], 'sample 103 has "x" of shape [3], the 2 others [2] (torch'),
        (columns, [(item, 1) for item in zeros(2, 2, 3)], "sample 102 has item 0 of shape [3], the 2 others [2] (torch"),
        (last_two, [{"x": item} for item in (None, 1, None, 1)], "entry 0 of what collate_fn puts together is of type NoneType, the other"),
        (changes, tensors(2, 2, 3), 'entry 2 of what collate_fn puts together has "x" of shape [3], the 2 others [2] (torch'),
    ],
)
def test_a_collate_fn_of_the_user_is_seen_through(collate_fn, samples, told):
    sentence = why(samples, collate_fn)
    assert sentence is not None
    assert sentence.startswith(told), sentence
    assert sentence.endswith("in the dataset or in collate_fn")


@pytest.mark.parametrize("collate_fn", [fails_itself, fails_beside])
def test_a_collate_fn_that_fails_for_a_reason_of_its_own_is_not_explained_by_lengths(collate_fn):
    assert why(tensors(2, 2, 3), collate_fn) is None


def test_two_parts_that_fit_the_exception_are_not_told_apart():
    samples = [{"x": item, "y": item + 1} for item in zeros(2, 2, 3)]
    assert why(samples, stacks) is None


def test_without_indices_samples_are_named_by_their_positions():
    told = why(zeros(3, 3, 4), indices=[None, None, None])
    assert told.startswith("the sample at position 2 is of shape [4]")


SCRIPT = """
    import torch
    from torch.utils.data import DataLoader, Dataset, IterableDataset

    class Clips(Dataset):
        def __len__(self):
            return 64
        def __getitem__(self, index):
            return {"audio": torch.zeros(4 if index != 16 else 5), "label": torch.tensor(index if index % 2 else 0.5)}

    class Labels(Clips):
        def __getitem__(self, index):
            return {"label": super().__getitem__(index + 1)["label"]}

    class AllBut(Clips):
        def __getitem__(self, index):
            return torch.zeros(5 if index % 8 == 0 and index else 4)

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([torch.zeros(2), torch.zeros(2), torch.zeros(3), torch.zeros(2)])

    def own(samples):
        raise KeyError("of its own")

    clips, labels, stream = DataLoader(Clips(), 8), DataLoader(Labels(), 8), DataLoader(Stream(), 4)
    all_but = DataLoader(AllBut(), 8)
    fails_itself = DataLoader(Clips(), 8, collate_fn=own)
"""


@pytest.fixture
def agent(start_agent):
    """One for each test, as for each trial that fails."""
    agent = start_agent()
    agent.load_text(SCRIPT)
    return agent


def failure_of(agent, target, config):
    attached = agent.attach(target)
    assert not isinstance(attached, ErrorInfo), attached.message
    failure = agent.trial(config, record=True)
    assert isinstance(failure, ErrorInfo), failure
    return failure


NONE, THREADS = TrialConfig(0), TrialConfig(2, None, 2, backend="thread")
WORKERS = [TrialConfig(2, None, 2, start_method=method) for method in METHODS]
FIRST_WORKERS = [WORKERS[0], *(pytest.param(config, marks=pytest.mark.slow) for config in WORKERS[1:])]
"""How workers start does not change what they collate."""


@pytest.mark.parametrize("config", [NONE, THREADS, *FIRST_WORKERS])
def test_the_error_leads_with_the_samples_and_keeps_what_torch_raised(agent, config):
    failure = failure_of(agent, "clips", config)
    assert failure.kind == "RuntimeError"
    assert failure.message.startswith('in batch 2 sample 16 has "audio" of shape [5], the 7 others [4] (')
    torchs = "RuntimeError: Trying to resize" if config in WORKERS else "RuntimeError: stack expects"
    assert torchs in failure.message
    assert ("worker 0" in failure.message) == (config is not NONE)
    assert torchs in failure.traceback


@pytest.mark.parametrize("config", FIRST_WORKERS)
def test_of_batches_that_fail_alike_in_several_workers_the_one_that_was_raised_is_told(agent, config):
    failure = failure_of(agent, "all_but", config)
    assert failure.message.startswith("in batch 1 sample 8 is of shape [5], ")
    assert "worker 1" in failure.message


def test_types_that_only_workers_cannot_mix_are_told(agent):
    failure = failure_of(agent, "labels", WORKERS[0])
    assert failure.message.startswith('in batch 0 4 samples (0, 2, 4 …) have "label" of dtype int64, the 4 others float32 (')


def test_samples_of_a_stream_are_named_by_their_positions(agent):
    assert failure_of(agent, "stream", NONE).message.startswith("in batch 0 the sample at position 2 is of shape [3], ")


@pytest.mark.parametrize("config", [NONE, WORKERS[0]])
def test_a_failure_of_the_users_own_stays_as_it_is(agent, config):
    failure = failure_of(agent, "fails_itself", config)
    assert failure.kind == "KeyError"
    assert "of its own" in failure.message
    assert "shape" not in failure.message
