"""What other people's scripts rely on: the keys of the JSON documents and the help of every command.

The files in `contracts` are what was there before; keys may be added. `pytest --renew-contracts` stores what is there now.
"""

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from command_line import SMALL, loaderscope, write_script

STORED = pathlib.Path(__file__).parent / "contracts"
COMMANDS = ("", "demo", "targets", "run", "trace", "show", "report", "doctor")
MAPPINGS = (
    "late_batches",
    "disturbance",
    "ties",
    "memory.workers",
    "evidence",
    "request.arguments",
    "environment.script_imports",
    "sample",
    "versions",
)
"""Parts whose keys, or whether there are any, depend on what was measured and where."""


ITERATING = """
    import time
    from torch.utils.data import DataLoader, Dataset

    class Numbers(Dataset):
        def __len__(self):
            return 400
        def __getitem__(self, index):
            time.sleep(0.003)
            return index

    list(DataLoader(Numbers(), batch_size=1))
"""
"""Long enough for a finding and for samples of its memory."""


def key_paths(value: Any, path: str = "") -> Iterator[str]:
    """Paths of all keys, those of a list's items together: `trials[].config.num_workers`."""
    if path.endswith(MAPPINGS):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            yield inner
            yield from key_paths(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from key_paths(item, f"{path}[]")


@pytest.fixture
def compare(request: pytest.FixtureRequest):
    def compare_with_stored(name: str, found: list[str], may_grow: bool) -> None:
        path = STORED / name
        if request.config.getoption("--renew-contracts"):
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(found) + "\n", "utf-8")
        stored = path.read_text("utf-8").splitlines()
        if may_grow:
            assert not set(stored) - set(found)
        else:
            assert stored == found

    return compare_with_stored


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help anew from version to version")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_is_what_it_was(command, tmp_path, compare):
    done = loaderscope(tmp_path, *command.split(), "--help", COLUMNS="100")
    compare(f"help-{command or 'loaderscope'}.txt", done.stdout.splitlines(), may_grow=False)


def test_the_documents_keep_their_keys(tmp_path, compare):
    write_script(tmp_path, SMALL)
    write_script(tmp_path, ITERATING, "iterate.py")
    options = ["--num-workers", "0,1,2", "--batch-size", "1", "--batches", "32", "--step", "sleep:1", "-o", "out.loaderscope"]
    documents = {
        "run": loaderscope(tmp_path, "run", "script.py", *options, "--json").document,
        "show": loaderscope(tmp_path, "show", "out.loaderscope", "--json").document,
        "trace": loaderscope(tmp_path, "trace", "iterate.py", "--json").document,
        "targets": loaderscope(tmp_path, "targets", "script.py", "--json").document,
        "doctor": loaderscope(tmp_path, "doctor", "--json").document,
    }
    assert json.dumps(documents, allow_nan=False)
    for name, document in documents.items():
        compare(f"{name}.txt", sorted(set(key_paths(document))), may_grow=True)
