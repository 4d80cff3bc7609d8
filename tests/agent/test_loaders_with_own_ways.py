"""Loaders that keep their iterator, read ahead in a thread, or get batches from the dataset: what the consumer gets is counted."""

import dataclasses

import pytest
from agents import write_into
from running import request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer, ErrorInfo, TrialConfig
from loaderscope.analysis.span_lookup import spans_of

SCRIPT = """
    import itertools, queue, threading
    import torch
    from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler, TensorDataset

    class Endless:
        def __init__(self, once):
            self.once = once
        def __iter__(self):
            return itertools.chain.from_iterable(iter(self.once) for _ in itertools.count())

    class Keeping(DataLoader):
        def __init__(self, data, **settings):
            super().__init__(data, **settings)
            self.__dict__["batch_sampler"] = Endless(self.batch_sampler)
            self.kept = super().__iter__()
        def __len__(self):
            return len(self.batch_sampler.once)
        def __iter__(self):
            for _ in range(len(self)):
                yield next(self.kept)

    class Threaded(DataLoader):
        def __iter__(self):
            batches = queue.Queue(1)
            def read():
                for batch in super(Threaded, self).__iter__():
                    batches.put(batch)
                batches.put(None)
            threading.Thread(target=read, daemon=True).start()
            while (batch := batches.get()) is not None:
                yield batch

    class OneAhead(DataLoader):
        def __iter__(self):
            batches = super().__iter__()
            current = next(batches)
            for following in batches:
                yield current
                current = following
            yield current

    class Joining(DataLoader):
        def __iter__(self):
            batches = super().__iter__()
            for first in batches:
                yield [torch.cat(parts) for parts in zip(first, next(batches))]

    class Stream(IterableDataset):
        def __init__(self, *batch):
            self.batch = batch
        def __iter__(self):
            for _ in range(200):
                yield self.batch if len(self.batch) > 1 else self.batch[0]

    class ByLists(torch.utils.data.Dataset):
        def __len__(self):
            return 400
        def __getitem__(self, indices):
            return torch.tensor(indices)

    data = TensorDataset(torch.arange(400))
    keeping = Keeping(data, batch_size=8, num_workers=1)
    threaded = Threaded(data, batch_size=8)
    one_ahead = OneAhead(data, batch_size=8)
    joining = Joining(data, batch_size=8)
    stock = DataLoader(data, batch_sampler=BatchSampler(SequentialSampler(data), 16, True))
    by_lists = DataLoader(ByLists(), batch_size=None, sampler=BatchSampler(RandomSampler(ByLists()), 64, False))
    images_and_labels = DataLoader(Stream(torch.zeros(32, 3), torch.zeros(32)), batch_size=None)
    names_and_arrays = DataLoader(Stream({"name": ["a"] * 5, "x": torch.zeros(5, 2).numpy()}), batch_size=None)
    images_and_label = DataLoader(Stream(torch.zeros(3, 8, 8), 7), batch_size=None)
    ragged = DataLoader(Stream(torch.zeros(32, 3), torch.zeros(70, 4)), batch_size=None)

    def train_step(batch):
        print("batch", batch[0].tolist(), flush=True)
"""


@pytest.fixture(scope="module")
def agent(start_shared_agent):
    agent = start_shared_agent()
    agent.load_text(SCRIPT)
    return agent


def outcome_of(agent, target, config, **order):
    answer = agent.attach(target)
    assert not isinstance(answer, ErrorInfo), answer.message
    outcome = agent.trial(config, **order)
    assert not isinstance(outcome, ErrorInfo), outcome.message
    return outcome


@pytest.mark.parametrize("target", ["keeping", "threaded", "one_ahead"])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_consumer_limits_and_counts_the_batches_of_a_loader_with_its_own_way(agent, target, workers):
    config = TrialConfig(workers, 8, 2 if workers else None)
    outcome = outcome_of(agent, target, config, batches=7, epochs=2)
    assert (outcome.epoch_batches, outcome.samples, outcome.full_batches) == ([7, 7], 112, 50)


@pytest.mark.parametrize("target", ["keeping", "threaded", "one_ahead"])
def test_a_whole_epoch_of_such_a_loader_is_as_long_as_it_says(agent, target):
    outcome = outcome_of(agent, target, TrialConfig(1, 8, 2), batches=None)
    assert (outcome.batches, outcome.samples) == (50, 400)


@pytest.mark.parametrize("batches", [5, None])
def test_a_loader_that_joins_batches_is_counted_by_what_it_gives(agent, batches):
    outcome = outcome_of(agent, "joining", TrialConfig(0, 8), batches=batches)
    assert outcome.samples == 16 * outcome.batches == 16 * (batches or 25)


def test_workers_that_a_constructor_starts_cannot_be_threads(agent):
    agent.attach("keeping")
    failure = agent.trial(TrialConfig(2, 8, 2, backend="thread"))
    assert (failure.kind, "constructor" in failure.message) == ("unsupported", True)


def test_it_is_told_which_loader_keeps_its_workers(agent):
    assert outcome_of(agent, "keeping", TrialConfig(2, 8, 2), batches=3).keeps_workers
    assert not outcome_of(agent, "one_ahead", TrialConfig(2, 8, 2), batches=3).keeps_workers


def test_a_kept_iterator_goes_on_in_the_next_epoch(agent):
    agent.output()
    outcome_of(agent, "keeping", TrialConfig(0, 8), batches=2, epochs=2, consumer=Consumer("script"))
    firsts = [int(line[7:-1].split(",")[0]) for line in agent.printed("batch", 4)]
    assert firsts == [0, 8, 16, 24]


def test_an_agent_in_which_such_a_loader_has_left_a_thread_is_not_used_again(agent):
    assert outcome_of(agent, "threaded", TrialConfig(2, 8, 2), batches=3).ran_user_code
    assert not outcome_of(agent, "keeping", TrialConfig(2, 8, 2), batches=3).ran_user_code


def test_a_constructor_that_starts_workers_and_refuses_the_setting_is_told(start_agent):
    script = SCRIPT.replace("def __init__(self, data, **settings):", "def __init__(self, data, batch_size, num_workers):").replace(
        "super().__init__(data, **settings)", "super().__init__(data, batch_size=batch_size, num_workers=num_workers)"
    )
    agent = start_agent()
    agent.load(write_into(agent.folder, script))
    agent.attach("keeping")
    failure = agent.trial(TrialConfig(1, 8, 4))
    assert failure.kind == "unsupported"
    assert "Keeping" in failure.message


@pytest.mark.parametrize(
    ("target", "samples_in_a_batch"), [("images_and_labels", 32), ("names_and_arrays", 5), ("images_and_label", None), ("ragged", None)]
)
def test_batches_that_the_dataset_makes_are_counted_by_the_dimension_that_all_parts_share(agent, target, samples_in_a_batch):
    outcome = outcome_of(agent, target, TrialConfig(0), batches=6)
    assert (outcome.batches, outcome.samples) == (6, samples_in_a_batch and 6 * samples_in_a_batch)
    assert any("--samples-of" in note for note in outcome.notes)


def test_lists_of_indices_from_a_sampler_are_counted_by_their_lengths(agent):
    outcome = outcome_of(agent, "by_lists", TrialConfig(0), batches=None)
    assert (outcome.batches, outcome.samples, outcome.full_batches) == (7, 400, 7)
    assert not any("--samples-of" in note for note in outcome.notes)


def test_an_expression_counts_samples_before_any_other_rule(agent):
    for target in ("ragged", "by_lists", "keeping"):
        assert outcome_of(agent, target, TrialConfig(0), batches=4, samples_of="len(batch) * 0 + 3").samples == 12
    assert outcome_of(agent, "ragged", TrialConfig(0), batches=4, samples_of="len(batch[1]) // len([data])").samples == 280


@pytest.mark.parametrize(
    ("expression", "samples"),
    [("sum(len(batch[number]) for number in range(2))", 102), ("len(batch[0])  # images", 32)],
)
def test_an_expression_may_be_any_of_python(agent, expression, samples):
    assert outcome_of(agent, "ragged", TrialConfig(0), batches=2, samples_of=expression).samples == 2 * samples


@pytest.mark.parametrize(("expression", "words"), [("batch[", "no expression"), ("batch.size", "no number"), ("missing", "NameError")])
def test_an_expression_that_counts_nothing_is_told(agent, expression, words):
    agent.attach("ragged")
    failure = agent.trial(TrialConfig(0), samples_of=expression)
    assert failure.kind == "unsupported"
    assert expression in failure.message
    assert words in failure.message


def test_the_batch_size_of_torchs_own_batch_sampler_is_read_and_swept(agent):
    current = TrialConfig.from_json(agent.attach("stock")["current"])
    assert current.batch_size == 16
    sizes = {size: outcome_of(agent, "stock", TrialConfig(0, size), batches=None) for size in (None, 16, 64)}
    assert {size: (outcome.batches, outcome.samples) for size, outcome in sizes.items()} == {
        None: (25, 400),
        16: (25, 400),
        64: (6, 384),  # it drops the rest, as the user's own does
    }


def test_the_order_of_torchs_own_batch_sampler_is_set(agent):
    agent.output()
    outcome_of(agent, "stock", TrialConfig(0, 8), batches=3, shuffle=True, consumer=Consumer("script"))
    batches = [[int(number) for number in line[7:-1].split(",")] for line in agent.printed("batch", 3)]
    assert [len(batch) for batch in batches] == [8, 8, 8]
    assert batches != [list(range(first, first + 8)) for first in (0, 8, 16)]


@pytest.mark.parametrize("target", ["keeping", "threaded", "one_ahead"])
@pytest.mark.parametrize("workers", [0, 2])
def test_throughput_and_start_up_of_such_a_loader_come_from_what_the_consumer_got(tmp_path, target, workers):
    script = write_script(tmp_path, SCRIPT.partition("    def train_step")[0])
    sink = run_pool(dataclasses.replace(request(script, (workers,)), target=target, batches=40))
    (result,) = sink.results
    assert (result.status, result.batches, result.samples) == ("ok", 40, 320)
    assert result.samples_per_second is not None
    assert result.epochs[0].batches == 40
    trace = sink.traces[result.id]
    waits = spans_of(trace, "main", State.WAIT)
    assert (waits.batch >= 0).sum() == 40
    inner = spans_of(trace, "inner-loader", State.WAIT)
    assert (inner.batch >= 0).sum() >= 40
    if workers:
        starts = spans_of(trace, "main", State.START_WORKER).size + spans_of(trace, "inner-loader", State.START_WORKER).size
        assert starts == 2
        assert result.startup.explained_share > 0.5
        assert result.epochs[0].first_batch_s > 0
