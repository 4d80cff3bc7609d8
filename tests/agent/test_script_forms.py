"""Forms of a training script besides a plain file: a link to one, a module of a package, a notebook."""

import multiprocessing
import os

import pytest

from loaderscope.agent.messages import ErrorInfo, TrialConfig

START_METHODS = multiprocessing.get_all_start_methods()

NEIGHBOUR = """
    import torch
    from torch.utils.data import Dataset

    class Numbers(Dataset):
        def __init__(self, length):
            self.length = length
        def __len__(self):
            return self.length
        def __getitem__(self, index):
            return index
"""


@pytest.mark.skipif(os.name == "nt", reason="Python follows no links to scripts there")
def test_a_linked_script_finds_what_lies_beside_its_real_file(agent, write, tmp_path):
    write(NEIGHBOUR, "project/numbers_of_project.py")
    script = write("import sys\nfrom numbers_of_project import Numbers\nprint([sys.path[0], sys.argv[0], __file__])\n", "project/train.py")
    link = tmp_path / "elsewhere" / "linked.py"
    link.parent.mkdir()
    link.symlink_to(script)
    loaded = agent.load(link)
    assert not isinstance(loaded, ErrorInfo), loaded.message
    assert agent.close() == [repr([str(script.parent), str(link), str(link)])]


@pytest.mark.skipif(os.name == "nt", reason="Python follows no links to scripts there")
@pytest.mark.parametrize("method", START_METHODS)
def test_workers_of_a_linked_script_find_it_too(agent, write, tmp_path, method):
    write(NEIGHBOUR, "project/numbers_of_project.py")
    link = tmp_path / "linked.py"
    link.symlink_to(write("from numbers_of_project import Numbers\ndata = Numbers(8)\n", "project/train.py"))
    agent.load(link)
    agent.attach("data")
    assert agent.trial(TrialConfig(1, 4, 2, start_method=method)).batches == 2
