"""What is found in a script, what is not, and how arguments given as text become values."""

import pytest

from loaderscope.agent.messages import ErrorInfo, Target, TrialConfig

SCRIPT = """
    from __future__ import annotations
    import collections
    import torch
    from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

    called = []

    class Images(Dataset):
        def __init__(self, root, size: int = 8, scale=1.0, cache: bool = False, limit: int | None = 5):
            self.root, self.size, self.scale, self.cache, self.limit = root, size, scale, cache, limit
            print("made", repr(root), repr(size), repr(scale), repr(cache), repr(limit), flush=True)
        def __len__(self):
            return self.size
        def __getitem__(self, index):
            return index

    class Base(Dataset):
        pass

    class Numbers(Base):
        def __len__(self):
            return 10
        def __getitem__(self, index):
            return index

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(20))

    class Duck:
        def __len__(self):
            return 3
        def __getitem__(self, index):
            return index

    class Settings(dict):
        pass

    class Net(torch.nn.Sequential):
        pass

    numbers = Numbers()
    alias = numbers
    stream = Stream()
    duck = Duck()
    part = Subset(numbers, range(4))
    both = ConcatDataset([numbers, part])
    tensors = TensorDataset(torch.zeros(6, 2))
    loader = DataLoader(numbers, batch_size=5, shuffle=True, num_workers=2, prefetch_factor=3, persistent_workers=True)
    own_batches = DataLoader(numbers, batch_sampler=torch.utils.data.BatchSampler(range(10), 4, False))
    unbatched = DataLoader(stream, batch_size=None)

    a_list, a_dict, a_tensor, a_text = [1, 2], Settings(), torch.zeros(3), "text"
    a_net, a_counter, a_deque = Net(), collections.Counter(), collections.deque()
    _private = Numbers()

    def annotated() -> DataLoader:
        called.append(1)
        return globals()["loader"]

    def by_look():
        called.append(1)
        data = Numbers()
        return data

    def through_another(batch_size=4):
        called.append(1)
        return wrap(by_look())

    def wrap(dataset):
        return torch.utils.data.DataLoader(dataset, batch_size=2)

    def late():
        from torch.utils.data import DataLoader as Loader
        called.append(1)
        return Loader(numbers)

    def needs_argument(path) -> Dataset:
        return Numbers()

    def something_else() -> int:
        called.append(1)
        return 3

    def gives_a_list():
        return [numbers]

    def lies() -> Dataset:
        return [1, 2, 3]

    def train_step(batch):
        pass

    print("called", len(called), flush=True)
"""


@pytest.fixture(scope="module")
def loaded(start_shared_agent):
    agent = start_shared_agent()
    targets = agent.load_text(SCRIPT)
    assert agent.output_until("called 0")  # listing calls no function
    return agent, {target.name: target for target in targets}


def test_all_kinds_are_found_and_nothing_else(loaded):
    _, found = loaded
    kinds = {name: (target.kind, target.origin, target.dataset_kind, target.length) for name, target in found.items()}
    assert kinds == {
        "loader": ("loader", "variable", "map", 10),
        "own_batches": ("loader", "variable", "map", 10),
        "unbatched": ("loader", "variable", "iterable", None),
        "annotated": ("loader", "function", None, None),
        "through_another": ("loader", "function", None, None),
        "late": ("loader", "function", None, None),
        "numbers": ("dataset", "variable", "map", 10),
        "stream": ("dataset", "variable", "iterable", None),
        "duck": ("dataset", "variable", "map", 3),
        "part": ("dataset", "variable", "map", 4),
        "both": ("dataset", "variable", "map", 14),
        "tensors": ("dataset", "variable", "map", 6),
        "by_look": ("dataset", "function", None, None),
        "lies": ("dataset", "function", None, None),
        "Images": ("dataset", "class", "map", None),
    }
    assert found["Images"].needs == ["root"]
    assert found["numbers"].type_name == "Numbers"
    assert found["by_look"].type_name == "Numbers"
    assert SCRIPT.splitlines()[found["loader"].line - 1].strip().startswith("loader = ")


def test_a_loaders_own_settings_are_told(loaded):
    agent, found = loaded
    default = agent.ask("attach", target="loader", arguments={})["current"]
    current = TrialConfig.from_json(default)
    assert current == found["loader"].current
    assert (current.num_workers, current.batch_size, current.prefetch_factor, current.persistent_workers) == (2, 5, 3, True)
    assert (current.in_order, current.backend) == (True, "process")
    assert current.start_method in ("fork", "spawn", "forkserver")
    assert found["own_batches"].current == TrialConfig(0, 4)
    assert found["unbatched"].current == TrialConfig(0, None)


@pytest.mark.parametrize("name", ["annotated", "by_look", "through_another", "late"])
def test_functions_are_called_when_they_are_attached(loaded, name):
    agent, _ = loaded
    answer = agent.attach(name)
    assert not isinstance(answer, ErrorInfo), answer.message
    target = Target.from_json(answer["target"])
    assert (target.name, target.origin, answer["length"]) == (name, "function", 10)


def test_arguments_given_as_text_become_what_the_class_wants(loaded):
    agent, _ = loaded
    assert agent.attach("Images").message == "Images needs root: give --arg root=VALUE"
    assert "no argument colour" in agent.attach("Images", root="x", colour="red").message
    assert "wants size as int, not 'many'" in agent.attach("Images", root="x", size="many").message
    agent.attach("Images", root="007/train", size="4", scale="2", cache="no", limit="none")
    agent.attach("Images", root="12", cache="true", limit="9")
    made = agent.output_until("made 12 8 1.0 True 9")
    assert made == ["made '007/train' 4 2.0 False None", "made 12 8 1.0 True 9"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", ["no target nothing"]),
        ("numbers.nothing", ["no target numbers.nothing"]),
        ("a_list", ["a_list is a list", "neither a Dataset nor a DataLoader"]),
        ("gives_a_list", ["gives_a_list() gives a list"]),
        ("lies", ["lies() gives a list"]),
        ("torch", ["torch is a module"]),
        ("captured:0", ["captured:0 was not reached"]),
    ],
)
def test_what_is_no_target_is_told_in_a_sentence(loaded, name, words):
    agent, _ = loaded
    failure = agent.attach(name)
    assert isinstance(failure, ErrorInfo)
    for word in words:
        assert word in failure.message


def test_a_script_among_installed_packages_is_the_users_own(agent, write):
    script = """
        import torch
        def make_loader():
            return torch.utils.data.DataLoader(torch.zeros(8, 3))
    """
    targets = agent.load(write(script, "lib/site-packages/examples/script.py"))
    assert [target.name for target in targets] == ["make_loader"]


def test_an_empty_dataset_is_told_before_a_loader_stumbles_over_it(agent, write):
    targets = agent.load(write("import torch\nempty = torch.utils.data.TensorDataset(torch.zeros(0, 3))\n"))
    assert [target.length for target in targets] == [0]
    assert agent.attach("empty").message == "empty has no samples: its length is 0"


def test_a_sample_is_described_to_its_leaves(agent, write):
    script = write(
        """
        import collections
        import torch
        Pair = collections.namedtuple("Pair", "image label")
        class Nested(torch.utils.data.Dataset):
            def __len__(self):
                return 2
            def __getitem__(self, index):
                return {"pair": Pair(torch.zeros(3, 4, dtype=torch.uint8), 7), "text": "grün", "parts": [torch.ones(2)] * 2, "none": None}
        nested = Nested()
        """
    )
    agent.load(script)
    agent.attach("nested")
    answer = agent.ask("probe")
    assert answer["seconds"] > 0
    pair, text, parts, none = answer["sample"]["items"]
    image, label = pair["items"]
    assert (pair["type"], pair["key"], image["key"], image["shape"], image["dtype"], image["bytes"]) == (
        "Pair",
        "pair",
        "image",
        [3, 4],
        "torch.uint8",
        12,
    )
    assert (label["type"], label["value"]) == ("int", 7)
    assert (text["type"], text["length"], text["bytes"]) == ("str", 4, 5)
    assert (parts["length"], parts["bytes"]) == (2, 16)
    assert none["type"] == "NoneType"


def test_the_cost_of_a_sample_leaves_out_what_only_the_first_one_pays(agent, write):
    script = write(
        """
        import time
        import torch

        class Lazy(torch.utils.data.Dataset):
            opened = False
            def __len__(self):
                return 8
            def __getitem__(self, index):
                if not self.opened:
                    time.sleep(0.4)
                    self.opened = True
                return torch.zeros(3)
        lazy = Lazy()
        """
    )
    agent.load(script)
    agent.attach("lazy")
    assert agent.ask("probe")["seconds"] < 0.2
