"""What a spawned worker has loaded before the user's script is imported again: nothing of ours that a file of theirs may shadow."""

import multiprocessing

import pytest
from agents import write_into

from loaderscope.agent.messages import ErrorInfo, TrialConfig

SCRIPT = """
    import sys
    loaded = sorted(name for name in sys.modules if "_loaderscope" not in name and "." not in name)
    if __name__ == "__mp_main__" and "torch" not in loaded:
        print("loaded", *loaded, flush=True)
    import torch
    from torch.utils.data import Dataset
    class Numbers(Dataset):
        def __len__(self):
            return 4
        def __getitem__(self, index):
            return index
    dataset = Numbers()
"""

ALLOWED = {"__future__", "_json", "faulthandler", "mmap"}
"""Written in C, or part of the language: no file of the user's can stand in their place."""


@pytest.mark.skipif("spawn" not in multiprocessing.get_all_start_methods(), reason="needs spawn")
def test_recording_loads_nothing_more_before_the_users_own_imports(start_agent):
    agent = start_agent()
    agent.load(write_into(agent.folder, SCRIPT))
    agent.attach("dataset")
    found = []
    for record in (False, True):
        outcome = agent.trial(TrialConfig(1, 2, 2, start_method="spawn"), record=record)
        assert not isinstance(outcome, ErrorInfo), outcome.message
        lines = [line for line in agent.output() if line.startswith("loaded ")]
        found.append(set(lines[-1].split()[1:]))  # the first, before any trial, is of the agent itself
    plain, recorded = found
    assert recorded - plain <= ALLOWED, recorded - plain
