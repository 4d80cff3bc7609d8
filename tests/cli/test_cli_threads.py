"""`--backend process,thread`: threads in the same table, document and findings as worker processes."""

import pathlib

import pytest
from command_line import Done, loaderscope, write_script

SCRIPT = """
    import random
    from torch.utils.data import Dataset

    class Flipped(Dataset):
        def __len__(self):
            return 96
        def __getitem__(self, index):
            return index if random.random() < 0.5 else -index

    flipped = Flipped()
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, Done]:
    folder = tmp_path_factory.mktemp("threads")
    write_script(folder, SCRIPT)
    axes = ("--num-workers", "0,2", "--backend", "process,thread", "--batch-size", "2", "--start-method", "fork")
    return folder, loaderscope(folder, "run", "script.py", *axes, "--batches", "48", "--epochs", "1", "--json", "-o", "t.loaderscope")


def test_threads_are_trials_like_others(swept):
    _, done = swept
    assert done.status == 0, done.stderr
    trials = {(trial["config"]["num_workers"], trial["config"]["backend"]): trial for trial in done.document["trials"]}
    assert set(trials) == {(0, None), (2, "process"), (2, "thread")}
    thread, process = trials[2, "thread"], trials[2, "process"]
    assert (thread["status"], thread["batches"], thread["samples"]) == ("ok", 48, 96)
    assert thread["samples_per_second"]["value"] > 0
    assert (thread["config"]["start_method"], thread["config"]["prefetch_factor"]) == (None, 2)
    assert thread["startup"]["explained_share"] > 0.9
    assert thread["memory"]["workers"] == []
    assert any("share its memory" in note for note in thread["notes"])
    assert (thread["shared_generators"], process["shared_generators"]) == (["random"], None)
    assert any("Not comparable" in note for note in thread["notes"])


def test_a_finding_compares_them_and_the_recommendation_leaves_them_out(swept):
    _, done = swept
    (finding,) = [finding for finding in done.document["findings"] if finding["code"] == "threads"]
    assert finding["evidence"]["compared_with"]["backend"] == "process"
    assert finding["evidence"]["free_threaded"] is False
    assert "not comparable" in finding["message"]
    assert done.document["recommendation"]["config"]["backend"] != "thread"
    assert "no setting for them" in done.document["recommendation"]["why"]


def test_show_has_a_row_for_them(swept):
    folder, _ = swept
    shown = loaderscope(folder, "show", "t.loaderscope")
    assert shown.status == 0
    assert any("thread" in line.split() for line in shown.stdout.splitlines())
