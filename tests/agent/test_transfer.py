"""Batches on their way to a device. Torch's meta device stands in for one: moving to it is real, its memory is not."""

import collections
import types

import pytest
import torch

from loaderscope.agent import transfer
from loaderscope.agent.error_sentences import AgentError
from loaderscope.agent.transfer import to_device

Pair = collections.namedtuple("Pair", "image label")


def test_every_nested_tensor_is_moved_and_every_container_keeps_its_type():
    batch = {
        "pair": Pair(torch.zeros(2), [torch.ones(1), "text"]),
        "ordered": collections.OrderedDict(a=torch.zeros(1)),
        "tuple": (torch.zeros(1), None, 3),
    }
    moved = to_device(batch, "meta", non_blocking=True)
    assert type(moved["pair"]) is Pair
    assert moved["pair"].image.device.type == moved["pair"].label[0].device.type == "meta"
    assert moved["pair"].label[1] == "text"
    assert type(moved["ordered"]) is collections.OrderedDict and moved["ordered"]["a"].device.type == "meta"
    assert moved["tuple"][0].device.type == "meta" and moved["tuple"][1:] == (None, 3)
    assert batch["tuple"][0].device.type == "cpu"


def test_an_object_that_moves_itself_is_asked_to():
    class Graph:
        def to(self, device, non_blocking):
            return ("moved", device, non_blocking)

    class Encoding:
        def to(self, device):
            return ("moved", device)

    assert to_device([Graph(), Encoding()], "meta", True) == [("moved", "meta", True), ("moved", "meta")]
    plain = types.SimpleNamespace(x=1)
    assert to_device(plain, "meta", True) is plain


def test_overlapped_copies_are_issued_on_their_stream_and_the_step_waits_for_them(monkeypatch):
    told = []

    class Stream:
        device = torch.device("meta", 1)

        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            told.append(f"{self.name} waits for {other.name}")

    class Image:
        device = Stream.device

        def to(self, device, non_blocking):
            told.append(f"copied on {current[0].name}, non_blocking={non_blocking}")
            return self

        def record_stream(self, stream):
            told.append(f"kept for {stream.name}")

    steps, copies = Stream("steps"), Stream("copies")
    current, device_index = [steps], [0]

    def set_stream(stream):
        current[0], device_index[0] = stream, stream.device.index  # as torch does (torch/csrc/DeviceAccelerator.cpp)

    monkeypatch.setattr(transfer, "side_stream", lambda device: copies)
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda device: current[0])
    monkeypatch.setattr(torch.accelerator, "set_stream", set_stream)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: device_index[0])
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: device_index.__setitem__(0, index))

    class Graph:
        """Moves itself but for a tensor of its own."""

        def __init__(self):
            self.edges = torch.zeros(3)

        def to(self, device, non_blocking):
            return self

    pair = Pair(Image(), {"again": Image(), "graph": Graph()})
    move = transfer.Transfer("meta", "overlapped")
    moved = move.issue(pair)
    assert type(moved) is Pair
    assert len(told) == 2  # the step before does not wait for them
    move.hand_over(moved)
    copied = "copied on copies, non_blocking=True"
    assert told == [copied, copied, "steps waits for copies", "kept for steps", "kept for steps"]
    assert current == [steps]
    assert device_index == [0]  # the user's current device is still the current one


def test_a_device_without_a_second_stream_cannot_overlap():
    with pytest.raises(AgentError, match="cpu has no second stream"):
        transfer.Transfer("cpu", "overlapped")


class Copied:
    """A tensor that says how it is copied."""

    def __init__(self, device):
        self.device = torch.device(device)
        self.copies = []

    def to(self, device, non_blocking):
        self.copies.append(non_blocking)
        return self

    def record_stream(self, stream):
        pass


@pytest.fixture
def accelerator(monkeypatch):
    """Lets torch's meta device be the accelerator; its stream counts waits."""
    stream = types.SimpleNamespace(waits=0)
    stream.synchronize = lambda: setattr(stream, "waits", stream.waits + 1)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda device: stream)
    return stream


def test_copies_block_by_themselves_where_torch_cannot_wait_for_a_stream(accelerator):
    def cannot_wait():
        raise RuntimeError("Backend doesn't support synchronizing streams.")  # as MPS does (MPSGuardImpl.h)

    accelerator.synchronize = cannot_wait
    move, tensor = transfer.Transfer("meta", "blocking"), Copied("cpu")
    move.issue([tensor])
    move.wait(0)
    assert tensor.copies == [False]


def test_only_what_is_really_copied_is_waited_for(accelerator):
    move = transfer.Transfer("meta:0", "blocking")
    waits = []
    for batch in ([Copied("cpu")], [Copied("meta:0")], {"image": Copied("meta:0"), "label": Copied("cpu")}):
        before = accelerator.waits
        move.issue(batch)
        move.wait(0)
        waits.append(accelerator.waits - before)
    assert waits == [1, 0, 1]
