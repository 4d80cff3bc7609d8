"""Settings of a whole process: they hold in main and in the workers of a trial, and no longer."""

import multiprocessing
import sys

import pytest
from running import until

from loaderscope.agent.messages import ErrorInfo, TrialConfig

METHODS = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]

SCRIPT = """
    import torch, torch.multiprocessing
    from torch.utils.data import Dataset

    class Told(Dataset):
        def __len__(self):
            return 4
        def __getitem__(self, index):
            print(torch.multiprocessing.get_sharing_strategy(), torch.get_num_threads(), flush=True)
            return torch.zeros(3)
    dataset = Told()
    print("own", torch.multiprocessing.get_sharing_strategy(), torch.get_num_threads(), flush=True)
"""


@pytest.fixture
def agent(start_agent):
    agent = start_agent()
    agent.load_text(SCRIPT)
    agent.attach("dataset")
    return agent


def told(agent, config):
    """What the samples of one trial print; a spawned worker runs the script's top level again."""
    outcome = agent.trial(config, record=True)
    assert not isinstance(outcome, ErrorInfo), outcome.message
    lines = set()
    assert until(lambda: lines.update(line for line in agent.output() if not line.startswith("own ")) or lines)
    return lines


def test_threads_of_main_hold_for_their_trial_only(agent):
    own = next(line for line in agent.output_until(agent_line(agent)) if line.startswith("own ")).removeprefix("own ")
    strategy, threads = own.split()
    other = int(threads) + 1
    assert told(agent, TrialConfig(0, 2, threads=other)) == {f"{strategy} {other}"}
    assert told(agent, TrialConfig(0, 2)) == {own}


def agent_line(agent):
    """The last line that the script prints while it is loaded."""
    import torch

    return f"own {torch.multiprocessing.get_sharing_strategy()} {torch.get_num_threads()}"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is one strategy")
@pytest.mark.parametrize("method", [METHODS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in METHODS[1:])])
def test_workers_share_by_the_strategy_of_their_trial(agent, method):
    agent.output_until(agent_line(agent))
    by_files = TrialConfig(1, 2, 2, start_method=method, sharing_strategy="file_system")
    assert {line.split()[0] for line in told(agent, by_files)} == {"file_system"}
    plain = TrialConfig(1, 2, 2, start_method=method)
    assert {line.split()[0] for line in told(agent, plain)} == {"file_descriptor"}


def test_a_strategy_that_the_system_lacks_is_refused_in_one_sentence(agent):
    failure = agent.trial(TrialConfig(1, 2, 2, start_method=METHODS[0], sharing_strategy="by_pigeon"), record=True)
    assert isinstance(failure, ErrorInfo)
    assert failure.kind == "unsupported" and "by_pigeon" in failure.message
