"""A script for torchrun runs with the variables that torchrun sets for one process."""

import dataclasses

import pytest
from running import request, run_pool, write_script

from loaderscope.sweep import torchrun
from loaderscope.sweep.inspect_script import inspect_script, probe_target

TRAINS = """
    import os
    import torch
    import torch.distributed as dist
    from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

    if __name__ == "__main__":
        dist.init_process_group("gloo")
        print("rank", dist.get_rank(), "of", dist.get_world_size(), flush=True)
        data = TensorDataset(torch.zeros(400, 10))
        for batch in DataLoader(data, batch_size=16, sampler=DistributedSampler(data), num_workers=2):
            raise SystemExit("the training ran")
"""

BUILDS = """
    import os
    from torch.utils.data import DataLoader

    def make_loader():
        return DataLoader(range(int(os.environ["WORLD_SIZE"]) * 8), batch_size=4)
"""


@pytest.fixture(autouse=True)
def _no_torchrun(monkeypatch):
    for name in torchrun.variables({}):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("probe", [True, False])
@pytest.mark.parametrize("start_method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_its_trials_run_and_a_note_says_which_variables_are_set(tmp_path, start_method, probe):
    script = write_script(tmp_path, TRAINS)
    sink = run_pool(request(script, (0, 2), start_method, target="captured:0", probe=probe))
    assert sink.statuses == ["ok", "ok"]
    assert sink.run.request.torchrun_variables
    assert [line.text for line in sink.log if line.stream == "loaderscope"].count(torchrun.NOTE) == 1
    assert {line.text for line in sink.log if line.text.startswith("rank")} == {"rank 0 of 1"}


def test_a_function_that_asks_for_them_when_it_makes_its_loader_gets_them(tmp_path):
    script = write_script(tmp_path, BUILDS)
    asked = dataclasses.replace(request(script), target="make_loader")
    assert not inspect_script(asked).notes
    probe = probe_target(asked)
    assert probe.length == 8
    assert probe.notes[0] == torchrun.NOTE


def test_the_list_of_targets_says_so(tmp_path):
    script = write_script(
        tmp_path, "import os\nfrom torch.utils.data import DataLoader\nloader = DataLoader(range(8 * int(os.environ['WORLD_SIZE'])))\n"
    )
    inspection = inspect_script(request(script))
    assert [target.name for target in inspection.targets] == ["loader"]
    assert inspection.notes == [torchrun.NOTE]


def test_a_script_that_fails_for_another_reason_once_they_are_set_says_that_reason(tmp_path):
    script = write_script(tmp_path, "import os\nrank = int(os.environ['RANK'])\nraise ValueError('no data for rank %d' % rank)\n")
    with pytest.raises(Exception, match="no data for rank 0"):
        inspect_script(request(script))


def test_variables_that_the_user_has_set_stay():
    given = {"RANK": "1", "MASTER_PORT": "29500"}
    assert not set(torchrun.variables(given)) & set(given)
    assert torchrun.variables(given)["WORLD_SIZE"] == "1"
