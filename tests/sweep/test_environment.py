"""The surroundings that a request gives to the script: environment variables, and a working folder."""

import dataclasses

import pytest
from running import request, run_pool, write_script

from loaderscope.sweep.inspect_script import SweepError, inspect_script

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


@pytest.mark.parametrize("start_method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_variables_reach_the_script_and_its_workers(tmp_path, start_method):
    variables = {"DATA_ROOT": "photos", "OMP_NUM_THREADS": "1"}
    script = write_script(tmp_path, SCRIPT)
    sink = run_pool(request(script, (0, 1), start_method, target="data", probe=True, environment_variables=variables))
    assert sink.statuses == ["ok", "ok"]
    assert sink.run.sample["type"] == "int"
    assert "threads 1" in sink.output


@pytest.mark.parametrize("start_method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_the_script_and_its_workers_run_in_the_working_folder(tmp_path, start_method):
    script = write_script(
        tmp_path,
        """
        from torch.utils.data import Dataset

        class Lines(Dataset):
            def __len__(self):
                return 16
            def __getitem__(self, index):
                return int(open("number.txt").read())

        data = Lines()
        """,
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "number.txt").write_text("7")
    asked = dataclasses.replace(request(script, (0, 1), start_method, target="data"), cwd=str(tmp_path / "data"))
    assert run_pool(asked).statuses == ["ok", "ok"]


def test_a_working_folder_that_is_not_there_is_named(tmp_path):
    asked = dataclasses.replace(request(write_script(tmp_path, SCRIPT)), cwd=str(tmp_path / "nowhere"))
    with pytest.raises(SweepError) as refused:
        inspect_script(asked)
    assert refused.value.info.kind == "FileNotFoundError"
    assert str(tmp_path / "nowhere") in refused.value.info.message
