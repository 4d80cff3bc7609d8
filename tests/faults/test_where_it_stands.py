"""Where the processes of a running trial stand, asked from another thread, while the trial goes on."""

import sys
import threading

import pytest
from running import CollectingSink, request, write_script

from loaderscope.sweep.pool import Pool

SCRIPT = """
import os, time
import torch
from torch.utils.data import Dataset, get_worker_info

class Data(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        if get_worker_info() is not None and index == 17:
            open(os.environ["HERE"], "w").close()
            while not os.path.exists(os.environ["GO_ON"]):
                time.sleep(0.01)  # the line at which it stands
        return torch.tensor(index)

dataset = Data()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be asked there")
def test_a_running_trial_tells_where_each_process_stands_and_goes_on(tmp_path):
    script, here, go_on = write_script(tmp_path, SCRIPT), tmp_path / "here", tmp_path / "go-on"
    sink = CollectingSink()
    variables = {"HERE": str(here), "GO_ON": str(go_on)}
    pool = Pool(request(script, (2,), batch_size=(8,), environment_variables=variables), sink)
    assert pool.where() == [], "nothing runs yet"
    told = []

    def ask() -> None:
        try:
            while not here.exists() or not (places := pool.where(10.0)):
                pass
            told.extend([places, pool.where(10.0)])
        finally:
            go_on.touch()

    asking = threading.Thread(target=ask)
    asking.start()
    pool.run()
    asking.join()
    line = next(number for number, text in enumerate(SCRIPT.splitlines(), 1) if "the line at which it stands" in text)
    for places in told:
        assert [place.process for place in places] == ["main", "worker-0", "worker-1"]
        assert any((place.line, place.function, place.is_users) == (line, "__getitem__", True) for place in places[1:])
    assert sink.statuses == ["ok"], "the trial went on to its end"
    assert pool.where() == []
