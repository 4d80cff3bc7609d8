"""How the processes of a recorded training are named in its sampled series."""

import json

import pytest

from loaderscope.agent.loader_description import LOADER_FILE
from loaderscope.agent.messages import TrialConfig
from loaderscope.sweep.recorded_loader import RecordedLoader, named_processes
from loaderscope.trace.model import ProcessInfo


@pytest.fixture
def make_loader(tmp_path):
    def make(number, made, processes):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        description = {"pid": 1, "made": made, "iterated": None, "class": "DataLoader", "number_at_line": 0}
        description["config"] = TrialConfig(2).to_json()
        (folder / LOADER_FILE).write_text(json.dumps(description))
        loader = RecordedLoader(folder)
        loader.trace.processes = [ProcessInfo(name, pid, 0, ended_ns) for name, pid, ended_ns in processes]
        loader.is_shown = number == 0
        return loader

    return make


def test_processes_have_names_of_their_own_and_main_is_there_once(make_loader):
    loaders = [
        make_loader(0, "/home/me/train.py:87", [("main", 1, None), ("worker-0", 2, None), ("worker-1", 3, 5)]),
        make_loader(1, "/home/me/train.py:90", [("main", 1, None), ("worker-0", 4, None)]),
        make_loader(2, "/home/me/train.py:90", [("main", 9, None), ("worker-0", 5, None)]),
    ]
    assert named_processes(loaders, 1) == [
        ("main", 1),
        ("worker-0", 2),
        ("worker-0 (train.py:90)", 4),
        ("main (process 9)", 9),
        ("worker-0 (train.py:90, loader 2)", 5),
    ]


def test_the_script_is_main_before_it_iterates_a_loader():
    assert named_processes([], 7) == [("main", 7)]
