"""The self-test through the command line, without a display."""

import json
import pathlib
import sys

import pytest
from command_line import loaderscope


@pytest.mark.parametrize(
    ("method", "phase"),
    [
        pytest.param("fork", "start_worker", marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")),
        pytest.param("spawn", "main_import", marks=pytest.mark.slow),
    ],
)
def test_a_narrowed_self_test_tells_phases_controls_and_limits_and_leaves_no_file(tmp_path: pathlib.Path, method: str, phase: str) -> None:
    done = loaderscope(tmp_path, "doctor", "--selftest", "--start-method", method, "--num-workers", "0,1", "--json", DISPLAY="")
    assert done.status == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["selftest"]
    (start,) = found["starts"]
    assert (start["start_method"], start["num_workers"]) == (method, 1)
    assert start["phases"][phase] > 0 and start["explained_share"] > 0.5
    assert [row["name"] for row in found["experiment"]["controls"]] == ["python", "numpy", "torch"]
    assert found["experiment"]["remedies"][0]["measured_s"] is not None
    assert found["unavailable"] == []
    assert not list(tmp_path.iterdir())
    assert not done.packages & {"PySide6", "torch"}


def test_an_interpreter_that_is_none_is_told_before_anything_is_measured(tmp_path: pathlib.Path) -> None:
    done = loaderscope(tmp_path, "doctor", "--selftest", "--python", str(tmp_path / "nothing"))
    assert done.status == 2
    assert "nothing" in done.stdout and "Self-test" not in done.stdout


def test_options_of_the_self_test_need_it(tmp_path: pathlib.Path) -> None:
    done = loaderscope(tmp_path, "doctor", "--num-workers", "1")
    assert done.status == 2 and "--selftest" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_self_test_is_done_in_five_minutes_and_kept_where_asked(tmp_path: pathlib.Path) -> None:
    done = loaderscope(tmp_path, "doctor", "--selftest", "-o", "kept.loaderscope", timeout_s=500, COLUMNS="100")
    assert done.status == 0, done.stdout + done.stderr
    assert "import script" in done.stdout and "Under " in done.stdout
    assert (tmp_path / "kept.loaderscope").exists()
