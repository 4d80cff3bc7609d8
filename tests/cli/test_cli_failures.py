"""What the user reads of trials that fail while batches are made and sent."""

import pathlib

import pytest
from command_line import in_this_process, write_script

SCRIPT = """
    import threading
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Clips(Dataset):
        def __len__(self):
            return 64
        def __getitem__(self, index):
            return {"audio": torch.zeros(1600 if index != 40 else 1700), "id": index}

    class Locked(Clips):
        def __getitem__(self, index):
            return {"meta": {"lock": threading.Lock()}}

    clips = Clips()
    locked = DataLoader(Locked(), batch_size=8, collate_fn=list)
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    write_script(tmp_path, SCRIPT)
    return tmp_path


def test_a_batch_that_cannot_be_sent_fails_the_trials_with_workers_only(folder: pathlib.Path) -> None:
    arguments = ("--target", "locked", "--num-workers", "0,2", "--no-probe", "-o", "out.loaderscope", "--json")
    document = in_this_process(folder, "run", "script.py", *arguments).document
    without, with_workers = document["trials"]
    assert (without["status"], with_workers["status"]) == ("ok", "failed")
    assert with_workers["error"]["kind"] == "not-picklable"
    assert with_workers["error"]["message"].startswith('batch[0]["meta"]["lock"] is a lock, which cannot be sent from a worker to the main')
    (finding,) = [finding for finding in document["findings"] if finding["code"] == "not-picklable"]
    assert with_workers["error"]["message"] in finding["message"]


def test_samples_that_do_not_fit_are_named_alike_with_and_without_workers(folder: pathlib.Path) -> None:
    arguments = ("--target", "clips", "--batch-size", "8", "--num-workers", "0,2", "--no-probe", "-o", "out.loaderscope", "--json")
    document = in_this_process(folder, "run", "script.py", *arguments).document
    for trial in document["trials"]:
        assert (trial["status"], trial["error"]["kind"]) == ("failed", "RuntimeError")
        assert trial["error"]["message"].startswith('in batch 5 sample 40 has "audio" of shape [1700], the 7 others [1600] (')
        assert "Traceback" in trial["error"]["traceback"]
