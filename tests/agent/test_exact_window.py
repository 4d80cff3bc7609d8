"""The exact window: torch's real profiler on the CPU, and the device's part of it with events that are made up."""

import time
import types

import pytest
import torch
from torch.autograd import DeviceType

from loaderscope.agent import exact_window, instrument
from loaderscope.agent.exact_window import union
from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer, TrialConfig

CUDA = torch.device("cuda", 0)
UNIX_NS = 1_790_000_000_123_456_789


def steps(count):
    """A loop over products of matrices."""

    def run(after_batch):
        matrix = torch.rand(32, 32)
        for _ in range(count):
            torch.mm(matrix, matrix)
            if after_batch():
                return

    return run


@pytest.fixture
def recorded(monkeypatch):
    recorded = types.SimpleNamespace(instants=[], spans=[])
    monkeypatch.setattr(instrument, "instant", lambda state, a=0, b=0: recorded.instants.append((state, b)))
    monkeypatch.setattr(instrument, "complete", lambda state, start_ns, length_ns, a=0: recorded.spans.append((state, start_ns, length_ns)))
    return recorded


def test_on_the_cpu_there_are_operators_and_a_reason_for_the_missing_share(recorded, monkeypatch):
    monkeypatch.setattr(exact_window, "device_of_trial", lambda device: (None, "none"))
    window = exact_window.measure(5, 3, None, steps(100))
    assert (window["steps"], window["busy_share"]) == (5, None)
    assert "the trial uses no accelerator" in window["reason"]
    by_name = {operator["name"]: operator for operator in window["operators"]}
    assert by_name["aten::mm"]["calls"] == 5  # those of the window alone
    assert 0 < by_name["aten::mm"]["self_cpu_s"] < window["seconds"]
    assert not any(name.startswith(("ProfilerStep", "loaderscope")) for name in by_name)
    assert recorded.instants == [(State.EXACT_WINDOW, 5)] and recorded.spans == []


def test_a_window_that_the_epoch_cuts_short_is_told_with_its_real_length(recorded):
    assert exact_window.measure(50, 2, None, steps(9))["steps"] == 7
    assert "the epoch ended within the 20 batches before it" in exact_window.measure(5, 20, None, steps(9))["reason"]


def test_a_script_that_profiles_itself_is_left_alone(recorded):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as own:
        window = exact_window.measure(5, 1, None, lambda after_batch: pytest.fail("the loop must not run"))
        torch.ones(3) + 1
    assert "the script itself runs a profiler" in window["reason"]
    assert any(row.key == "aten::add" for row in own.key_averages())
    assert recorded.instants == []


def test_a_torch_without_kineto_is_told(monkeypatch, recorded):
    monkeypatch.setattr(torch.autograd, "kineto_available", lambda: False)
    assert "without Kineto" in exact_window.measure(5, 1, None, steps(9))["reason"]


def test_the_profilers_own_times_are_placed_on_the_hosts_clock_by_its_marks(monkeypatch, recorded):
    offsets = []

    def result(profiler, window, accelerator, sees_device):
        offsets.append(exact_window._unix_offset(list(profiler.profiler.kineto_results.events()), window.marks))
        return {}

    monkeypatch.setattr(exact_window, "_result", result)
    before_ns = time.time_ns() - time.perf_counter_ns()
    exact_window.measure(5, 3, None, steps(100))
    after_ns = time.time_ns() - time.perf_counter_ns()
    ((offset_ns, error_ns),) = offsets
    assert 0 < error_ns < 1_000_000_000
    slack_ns = error_ns + 1_000_000_000  # the system's clock may be set meanwhile, and the marks are looked at one after another
    assert min(before_ns, after_ns) - slack_ns <= offset_ns <= max(before_ns, after_ns) + slack_ns


def test_a_step_that_profiles_itself_now_and_then_ends_the_window_only(recorded):
    def run(after_batch):
        for _ in range(20):
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]):
                torch.ones(3) + 1
            if after_batch():
                return

    assert "the script itself runs a profiler" in exact_window.measure(3, 2, None, run)["reason"]  # two at a time crash torch
    assert exact_window.measure(2, 1, None, steps(9))["steps"] == 2
    run(lambda: False)  # and the script may profile again


def test_profilers_that_do_not_run_are_in_nobodys_way(recorded):
    off, unused = torch.autograd.profiler.profile(enabled=False), torch.profiler.profile()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as done:
        torch.ones(3) + 1
    assert exact_window.measure(2, 1, None, steps(9))["steps"] == 2
    assert off is not None and unused is not None and done.key_averages()


def test_a_script_whose_profiler_warms_up_is_left_alone(recorded):
    plan = torch.profiler.schedule(wait=0, warmup=2, active=2, repeat=1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], schedule=plan) as own:
        own.step()
        window = exact_window.measure(5, 1, None, lambda after_batch: pytest.fail("the loop must not run"))
        for _ in range(3):
            torch.ones(3) + 1
            own.step()
    assert "the script itself runs a profiler" in window["reason"]
    assert any(row.key == "aten::add" for row in own.key_averages())
    assert exact_window.measure(2, 1, None, steps(9))["steps"] == 2


def test_what_the_step_raises_ends_the_window_only(recorded):
    def run(after_batch):
        after_batch()
        raise ValueError("no such class\nand more")

    assert exact_window.measure(5, 1, None, run)["reason"] == "the exact window failed: ValueError: no such class"
    assert exact_window.measure(2, 1, None, steps(9))["steps"] == 2  # the profiler can be used again


class Event:
    """What _KinetoEvent tells."""

    def __init__(self, kind, start_ns, length_ns, device=DeviceType.CUDA, index=0, name="kernel"):
        self.kind, self.start, self.length, self.device, self.index, self.called = kind, start_ns, length_ns, device, index, name

    def name(self):
        return self.called

    def activity_type(self):
        return self.kind

    def is_user_annotation(self):
        return self.kind.endswith("user_annotation")

    def device_type(self):
        return self.device

    def device_index(self):
        return self.index

    def start_ns(self):
        return self.start

    def duration_ns(self):
        return self.length


def told_of(events):
    """The window of these events, from 1,000,000 to 2,000,000 ns on the host's clock."""
    results = types.SimpleNamespace(events=lambda: events)
    profiler = types.SimpleNamespace(profiler=types.SimpleNamespace(kineto_results=results), key_averages=lambda: [])
    window = types.SimpleNamespace(steps=3, start_ns=1_000_000, end_ns=2_000_000, marks=[(989_000, 999_000), (1_999_990, 2_000_010)])
    return exact_window._result(profiler, window, CUDA, True)


def marks():
    """The marks' events: the first anywhere in its wide bracket, the second in the middle of its narrow one."""
    return [Event("user_annotation", UNIX_NS + time_ns, 5, DeviceType.CPU, name=exact_window._MARK) for time_ns in (998_000, 2_000_000)]


def test_the_busy_share_is_that_of_the_union_of_kernels_copies_and_memsets(recorded):
    events = [
        Event("kernel", UNIX_NS + 900_000, 200_000),  # half of it before the window
        Event("gpu_memcpy", UNIX_NS + 1_300_000, 200_000),
        Event("kernel", UNIX_NS + 1_400_000, 200_000),  # overlaps the copy
        Event("gpu_memset", UNIX_NS + 1_950_000, 500_000),  # goes on after the window
        Event("gpu_user_annotation", UNIX_NS + 1_000_000, 1_000_000),
        Event("cuda_sync", UNIX_NS + 1_000_000, 1_000_000),
        Event("cuda_runtime", UNIX_NS + 1_000_000, 1_000_000, DeviceType.CPU),
        Event("kernel", UNIX_NS + 1_000_000, 1_000_000, index=1),  # of another GPU
    ]
    window = told_of(marks() + events)
    assert window["busy_share"] == pytest.approx(0.1 + 0.3 + 0.05)
    assert window["clock_error_s"] == pytest.approx(10e-9)
    assert recorded.spans == [
        (State.DEVICE_WORK, 1_000_000, 100_000),
        (State.DEVICE_WORK, 1_300_000, 300_000),
        (State.DEVICE_WORK, 1_950_000, 50_000),
    ]


def test_an_older_torch_that_names_no_activities_leaves_out_named_ranges_all_the_same(recorded, monkeypatch):
    monkeypatch.delattr(Event, "activity_type")
    events = [
        Event("kernel", UNIX_NS + 1_100_000, 200_000),
        Event("gpu_user_annotation", UNIX_NS + 1_000_000, 1_000_000),
        Event("cuda_runtime", UNIX_NS + 1_000_000, 1_000_000, DeviceType.CPU),
    ]
    assert told_of(marks() + events)["busy_share"] == pytest.approx(0.2)


def test_a_device_of_which_nothing_was_recorded_has_no_share_of_0(recorded):
    window = told_of(marks())
    assert window["busy_share"] is None
    assert "recorded no work of cuda:0" in window["reason"]


def test_without_its_marks_the_profilers_clock_cannot_be_placed(recorded):
    window = told_of([Event("kernel", UNIX_NS, 10)])
    assert window["busy_share"] is None
    assert "could not be compared" in window["reason"]


def test_a_union_is_disjoint_and_within_its_bounds():
    assert union([(5, 7), (1, 3), (2, 4), (7, 8), (20, 30)], 2, 25) == [(2, 4), (5, 8), (20, 25)]


TRAINED = """
    import torch
    from torch.utils.data import TensorDataset

    train_set = TensorDataset(torch.rand(400, 16))

    def make_train_step():
        model = torch.nn.Linear(16, 16)
        return lambda batches: model(batches[0]).sum().backward()
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_trial_is_measured_first_and_profiled_after(start_agent, write, workers):
    agent = start_agent()
    agent.load(write(TRAINED))
    agent.attach("train_set")
    prefetch = {"prefetch_factor": 2, "start_method": "fork"} if workers else {}
    config = TrialConfig(workers, 8, persistent_workers=bool(workers) or None, **prefetch)
    outcome = agent.trial(config, Consumer("script"), batches=30, epochs=2, gpu_window=10, record=True)
    assert (outcome.batches, outcome.samples, outcome.epoch_batches) == (60, 480, [30, 30])
    assert outcome.gpu_window["steps"] == 10
    assert {"aten::addmm"} <= {operator["name"] for operator in outcome.gpu_window["operators"]}
    again = agent.trial(config, Consumer("script"), batches=30, epochs=2, gpu_window=500, record=True)
    assert (again.samples, again.gpu_window["steps"]) == (480, 29)  # no longer than an epoch
    assert agent.trial(config, Consumer("script"), batches=30).gpu_window is None
