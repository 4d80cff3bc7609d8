"""The ceiling through the command line: a sweep with the script's step measures it, the document tells it, and the table shows it."""

import pathlib
from typing import Any

import pytest
from command_line import Done, loaderscope, write_script

SCRIPT = """
    import time
    import torch
    from torch.utils.data import Dataset

    class Numbers(Dataset):
        def __len__(self):
            return 160
        def __getitem__(self, index):
            time.sleep(0.002)
            return torch.ones(3) * index

    numbers = Numbers()

    def train_step(batch):
        time.sleep(0.002)
"""
QUICK = ("run", "script.py", "--num-workers", "0", "--batch-size", "4", "--batches", "30", "--epochs", "1")


def run(folder: pathlib.Path, *options: str) -> Done:
    done = loaderscope(folder, *QUICK, *options, "--json", "-o", "out.loaderscope")
    assert done.status == 0, done.stderr
    return done


def test_the_ceiling_is_told_shown_and_saved_apart_from_the_settings(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SCRIPT)
    document: dict[str, Any] = run(tmp_path).document
    ceiling = document["ceiling"]
    assert (ceiling["trial"], ceiling["source"]) == (1, "measured")
    plain, perfect = document["trials"]
    assert [plain["perfect_loader"], perfect["perfect_loader"]] == [False, True]
    assert ceiling["samples_per_second"]["value"] > 2 * plain["samples_per_second"]["value"]
    assert ceiling["saves_share"] > 0.5
    assert [row["trials"] for row in document["results"]] == [[0]]
    shown = loaderscope(tmp_path, "show", "out.loaderscope", "--json")
    assert shown.document["ceiling"] == ceiling
    rows = [line.split() for line in loaderscope(tmp_path, "show", "out.loaderscope").stdout.splitlines()]
    assert any(row[:1] == ["perfect"] for row in rows)


@pytest.mark.parametrize(
    ("options", "source"), [(("--step", "sleep:2"), "computed"), (("--step", "none"), None), (("--no-ceiling",), None)]
)
def test_no_perfect_loader_runs_where_arithmetic_does_or_nobody_asks(
    tmp_path: pathlib.Path, options: tuple[str, ...], source: str | None
) -> None:
    write_script(tmp_path, SCRIPT)
    document = run(tmp_path, *options).document
    assert len(document["trials"]) == 1
    assert (document["ceiling"] and document["ceiling"]["source"]) == source
    if source is not None:
        assert document["ceiling"]["samples_per_second"] == {"value": 2000.0, "ci95": None}
        assert document["ceiling"]["trial"] is None
