"""A dataset whose samples can be read in some processes only: the trials that can read them run, the others say why not."""

import pytest
from running import request, run_pool, write_script

from loaderscope.sweep.inspect_script import SweepError, probe_target

NEEDS_A_WORKER = """
    import torch
    from torch.utils.data import Dataset, get_worker_info

    class Shards(Dataset):
        def __len__(self):
            return 64
        def __getitem__(self, index):
            worker = get_worker_info()
            if {condition}:
                raise IndexError("no shard for this process")
            return torch.zeros(4)

    data = Shards()
"""
ONLY_IN_WORKERS = NEEDS_A_WORKER.format(condition="worker is None")
ONLY_IN_MAIN = NEEDS_A_WORKER.format(condition="worker is not None")
NOWHERE = NEEDS_A_WORKER.format(condition="True")


def run(folder, text):
    return run_pool(request(write_script(folder, text), (0, 1), target="data", probe=True))


def errors_of(sink):
    return {result.config.num_workers: result.error.kind for result in sink.results if result.error is not None}


def notes_of(sink):
    return [line.text for line in sink.log if line.stream == "loaderscope" and "main process" in line.text]


def test_a_sample_that_needs_a_worker_does_not_end_the_run(tmp_path):
    sink = run(tmp_path, ONLY_IN_WORKERS)
    assert sink.run.sample is None
    (note,) = notes_of(sink)
    assert "IndexError" in note
    assert sorted(sink.statuses) == ["failed", "ok"]
    assert errors_of(sink) == {0: "IndexError"}


def test_a_sample_that_only_the_main_process_can_read_fails_in_workers_alone(tmp_path):
    sink = run(tmp_path, ONLY_IN_MAIN)
    assert sink.run.sample is not None
    assert not notes_of(sink)
    assert errors_of(sink) == {1: "IndexError"}


def test_where_no_process_can_read_a_sample_every_trial_says_why(tmp_path):
    assert errors_of(run(tmp_path, NOWHERE)) == {0: "IndexError", 1: "IndexError"}


def test_a_dataset_without_any_sample_is_still_refused(tmp_path):
    text = """
        from torch.utils.data import IterableDataset

        class Nothing(IterableDataset):
            def __iter__(self):
                return iter(())

        data = Nothing()
    """
    with pytest.raises(SweepError):
        probe_target(request(write_script(tmp_path, text), target="data"))
