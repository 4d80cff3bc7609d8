"""The surroundings that a request gives to the script: environment variables."""

import pytest
from running import request, run_pool, write_script

SCRIPT = """
    import os
    from torch.utils.data import Dataset

    class Numbers(Dataset):
        def __len__(self):
            return 16
        def __getitem__(self, index):
            assert os.environ["DATA_ROOT"] == "photos", "the script's processes get the value"
            return index

    data = Numbers()
    print("threads", os.environ["OMP_NUM_THREADS"], flush=True)
"""


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_variables_reach_the_script_and_its_workers(tmp_path, start_method):
    variables = {"DATA_ROOT": "photos", "OMP_NUM_THREADS": "1"}
    script = write_script(tmp_path, SCRIPT)
    sink = run_pool(request(script, (0, 1), start_method, target="data", probe=True, environment_variables=variables))
    assert sink.statuses == ["ok", "ok"]
    assert sink.run.sample["type"] == "int"
    assert "threads 1" in sink.output
