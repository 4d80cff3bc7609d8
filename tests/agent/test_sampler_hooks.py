"""The sampler's work is recorded in main, for each batch and each epoch's start, and nothing about the sampler changes."""

import json
import pathlib
import time

import agent_package
import logs
import pytest

from loaderscope.agent import layout
from loaderscope.agent.layout import Role, State

BATCHES = 5
WORK_S = 0.003


@pytest.fixture
def record(log_dir):
    """Iterates a loader while recording; returns what main recorded, and the batches."""
    agent_package.load()
    from _loaderscope_agent import instrument

    def iterate(loader):
        instrument.install()
        instrument.start_recording(str(log_dir), 60.0)
        try:
            batches = [batch.tolist() for batch in loader]
        finally:
            instrument.stop_recording()
            instrument.uninstall()
        (main,) = [log for log in logs.read_logs(log_dir) if log.header["role"] == Role.MAIN]
        return main, batches

    return iterate


def slow_loader(eager=False, **options):
    """A loader whose batch sampler works for each batch, or, `eager`, for all of them in its `__iter__`."""
    from torch.utils.data import DataLoader, Sampler

    class Lazy(Sampler):
        def __iter__(self):
            for number in range(BATCHES):
                time.sleep(WORK_S)
                yield [number, number + 1]

    class Eager(Lazy):
        def __iter__(self):
            return iter(list(super().__iter__()))

    return DataLoader(range(BATCHES + 1), batch_sampler=Eager() if eager else Lazy(), **options)


def sampler_spans(main):
    return [(record.a, record.b / 1e9) for record in main.records if record.state == State.SAMPLER]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_work_for_each_batch_is_recorded(record, workers):
    main, batches = record(slow_loader(num_workers=workers))
    assert batches == [[number, number + 1] for number in range(BATCHES)]
    spans = sampler_spans(main)
    assert [batch for batch, _ in spans if batch >= 0] == list(range(BATCHES))
    assert all(seconds >= WORK_S for batch, seconds in spans if batch >= 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_work_in_iter_is_recorded_without_a_batch(record, workers):
    main, _ = record(slow_loader(eager=True, num_workers=workers))
    starts = [seconds for batch, seconds in sampler_spans(main) if batch < 0]
    assert len(starts) == 1 and starts[0] >= BATCHES * WORK_S
    assert not [batch for batch, _ in sampler_spans(main) if batch >= 0]


def test_its_class_and_line_are_recorded_once(record, log_dir):
    main, _ = record(slow_loader())
    (named,) = [record for record in main.records if record.state == State.SAMPLER_CLASS]
    (path,) = log_dir.glob(f"*{layout.NAMES_SUFFIX}")
    names = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    class_name, place = names[named.a].split("\0")
    line = pathlib.Path(__file__).read_text(encoding="utf-8").splitlines().index("        def __iter__(self):") + 1
    assert (class_name, place) == ("Lazy", f"{__file__}:{line}")


def test_the_sampler_of_torch_behind_a_plain_batch_sampler_is_named_without_a_place():
    agent_package.load()
    from _loaderscope_agent import sampler_hooks
    from torch.utils.data import DataLoader, WeightedRandomSampler

    iterator = iter(DataLoader(range(4), batch_size=2, sampler=WeightedRandomSampler([1.0] * 4, 4)))
    assert sampler_hooks._class_and_place(iterator) == ("WeightedRandomSampler", "")
    assert sampler_hooks._class_and_place(iter(DataLoader(range(4)))) == ("SequentialSampler", "")


def test_torchs_own_quick_samplers_leave_no_records(record):
    from torch.utils.data import DataLoader

    main, batches = record(DataLoader(range(400), batch_size=4, shuffle=True))
    assert len(batches) == 100
    assert len(sampler_spans(main)) < 10, "a slow one now and then, where the system takes the core away"


def test_an_error_of_the_sampler_shows_no_line_of_ours(record):
    from torch.utils.data import DataLoader

    class Failing:
        def __iter__(self):
            yield [0]
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more") as raised:
        record(DataLoader(range(4), batch_sampler=Failing()))
    assert not [entry for entry in raised.traceback if entry.path.name == "sampler_hooks.py"]
