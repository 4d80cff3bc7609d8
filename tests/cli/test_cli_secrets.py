"""A token on the command line reaches the script, and nothing that is printed or kept."""

from __future__ import annotations

import pathlib

from command_line import in_this_process, loaderscope, write_script

SECRET = "Zq8hunter2x"

SCRIPT = f"""
    import os, sys, warnings
    from torch.utils.data import Dataset

    token = sys.argv[sys.argv.index("--token") + 1]
    assert token == "{SECRET[::-1]}"[::-1], "the script gets the real value"

    class Numbers(Dataset):
        def __init__(self, api_key):
            assert api_key == os.environ["PLACE"] == token
        def __len__(self):
            return 40
        def __getitem__(self, index):
            warnings.warn("HF_TOKEN=" + token)
            if index == 30:
                raise ValueError("cannot log in with password=" + token)
            return index
"""


def test_a_secret_is_in_no_output_session_or_report(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SCRIPT)
    options = (
        "--target",
        "Numbers",
        "--arg",
        f"api_key={SECRET}",
        "--num-workers",
        "0,1",
        "--batches",
        "10",
        "--batch-size",
        "4",
        "--env",
        f"PLACE={SECRET}",
    )
    done = loaderscope(tmp_path, "run", "script.py", *options, "-o", "out.loaderscope", "--json", "--", "--token", SECRET, "--n", "3")
    assert done.status == 1, done.stderr
    trials = done.document["trials"]
    assert [trial["error"]["kind"] for trial in trials] == ["ValueError", "ValueError"]
    assert all("password=***" in trial["error"]["message"] for trial in trials)
    assert {(w["process"], w["kind"], w["text"]) for trial in trials for w in trial["warnings"]} == {
        ("main", "UserWarning", "HF_TOKEN=***"),
        ("worker-0", "UserWarning", "HF_TOKEN=***"),
    }
    assert done.document["request"]["script_args"] == ["--token", "***", "--n", "3"]
    assert done.document["request"]["arguments"] == {"api_key": "***"}
    assert done.document["request"]["environment_variables"] == {"PLACE": "***"}
    shown = in_this_process(tmp_path, "show", "out.loaderscope")
    assert "HF_TOKEN=***" in shown.stdout
    page = loaderscope(tmp_path, "report", "out.loaderscope", "-o", "out.html", QT_QPA_PLATFORM="offscreen")
    assert page.status == 0, page.stderr
    html = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "HF_TOKEN=***" in html
    kept = (done.stdout, done.stderr, shown.stdout, html, (tmp_path / "out.loaderscope").read_bytes().decode("latin-1"))
    assert not any(SECRET in text for text in kept)
