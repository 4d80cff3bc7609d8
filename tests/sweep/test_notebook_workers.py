"""Workers of notebooks that cannot define what their dataset needs."""

import json
import multiprocessing

import pytest
from running import request, run_pool, write_script

CELLS = (
    "import asyncio, torch\nfrom torch.utils.data import Dataset",
    "length = await asyncio.sleep(0, result=8)",
    "class Numbers(Dataset):\n    size = length\n    def __len__(self):\n        return 8\n    def __getitem__(self, i):\n        return i",
    "numbers = Numbers()",
)


@pytest.mark.parametrize(
    "method",
    [pytest.param(one, marks=[pytest.mark.slow] * (one != "spawn")) for one in multiprocessing.get_all_start_methods() if one != "fork"],
)
def test_a_worker_that_lacks_a_value_is_one_sentence_with_cell_and_line(tmp_path, method):
    cells = [{"cell_type": "code", "source": source} for source in CELLS]
    script = write_script(tmp_path, json.dumps({"cells": cells, "nbformat": 4}), "lesson.ipynb")
    sink = run_pool(request(script, workers=(1,), start_method=method))
    error = sink.results[0].error
    assert sink.statuses == ["failed"]
    assert (error.kind, error.file, error.line) == ("not-picklable", f"{script}, cell 3", 2)
    assert "NameError: name 'length' is not defined (lesson.ipynb, cell 3, line 2)" in error.message
