"""What happens to a training whose recording fails."""

import os
import sys

import pytest
from running import CollectingSink, request, write_script

from loaderscope.sweep.training_run import TrainingRun

SCRIPT = """
    from torch.utils.data import DataLoader
    batches = list(DataLoader(range(8), batch_size=2))
    open("trained.txt", "w").write(str(len(batches)))
    raise SystemExit(6)
"""

FORKED = """
    import os
    from torch.utils.data import DataLoader
    iterator = iter(DataLoader(range(64), batch_size=2))
    next(iterator)
    child = os.fork()
    if not child:
        list(DataLoader(range(4), batch_size=2))
        list(iterator)
        os._exit(0)
    os.waitpid(child, 0)
    next(iterator)
"""


def test_a_fault_while_reading_ends_the_recording_and_not_the_training(tmp_path, monkeypatch):
    def fail(self, path):
        raise ValueError("damaged")

    monkeypatch.setattr(TrainingRun, "_add_loader", fail)
    sink = CollectingSink()
    assert TrainingRun(request(write_script(tmp_path, SCRIPT)), sink).run() == 6
    assert (tmp_path / "trained.txt").read_text() == "4"
    assert [line.text for line in sink.log if "damaged" in line.text]


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork")
def test_a_forked_child_that_goes_on_with_an_iterator_leaves_the_record_of_its_parent_alone(tmp_path):
    sink = CollectingSink()
    assert TrainingRun(request(write_script(tmp_path, FORKED)), sink).run() == 0
    by_line = {result.loader.made.rpartition(":")[2]: result for result in sink.results}
    assert (by_line["4"].batches, by_line["8"].batches) == (2, 2)
    assert not [note for note in by_line["4"].notes if "not finished" in note]
