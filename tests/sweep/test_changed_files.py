"""Which files of a folder a trial has changed."""

import os

from loaderscope.sweep import changed_files as module
from loaderscope.sweep.changed_files import changed_files, look_at


def test_new_changed_and_removed_files_are_named_and_others_are_not(tmp_path):
    (tmp_path / "logs").mkdir()
    for name in ("train.py", "logs/a.txt", "removed.txt"):
        (tmp_path / name).write_text("1")
    before = look_at(str(tmp_path))
    (tmp_path / "logs" / "a.txt").write_text("22")
    (tmp_path / "model.pt").write_text("x")
    (tmp_path / "removed.txt").unlink()
    assert changed_files(before, look_at(str(tmp_path))) == [os.path.join("logs", "a.txt"), "model.pt", "removed.txt"]


def test_caches_version_control_and_environments_are_left_out(tmp_path):
    before = look_at(str(tmp_path))
    for name in ("__pycache__", ".git", "venv"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("1")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    assert changed_files(before, look_at(str(tmp_path))) == []


def test_the_folders_of_our_own_runs_are_left_out(tmp_path):
    before = look_at(str(tmp_path))
    run = tmp_path / "tmp" / "loaderscope-run-abc" / "trial"
    run.mkdir(parents=True)
    (run / "records").write_text("1")
    (tmp_path / "tmp" / "model.pt").write_text("1")
    assert changed_files(before, look_at(str(tmp_path))) == [os.path.join("tmp", "model.pt")]


def test_a_folder_with_too_many_files_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_FILES", 3)
    before = look_at(str(tmp_path))
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("1")
    after = look_at(str(tmp_path))
    assert after.files is None
    assert changed_files(before, after) is None
