"""What was opened last, and sweeps whose window was killed before they were saved."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import psutil
import pytest
import support_session
from running import write_script

from loaderscope.facts.request import Axes, Request
from loaderscope.facts.run import Mark
from loaderscope.gui.run.live_run import WINDOW_PREFIX
from loaderscope.gui.window.main_window import MainWindow
from loaderscope.gui.window.recent_files import EMPTY_TEXT, UNSAVED_KEPT_S, RecentFiles
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.sweep.processes.temporary_folders import claim


@pytest.fixture
def base(tmp_path, monkeypatch):
    """Where this test's temporary folders are."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def left(base, session):
    """Makes the folder that a window left with an unsaved session."""

    def left(name, pid_and_created=None):
        folder = base / f"{WINDOW_PREFIX}{name}"
        folder.mkdir()
        shutil.copyfile(session, folder / f"{name}.loaderscope")
        if pid_and_created is None:
            with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
                pid_and_created = process.pid, psutil.Process(process.pid).create_time()
                process.kill()
        pid, created = pid_and_created
        (folder / "owner.json").write_text(json.dumps({"pid": pid, "created": created}))
        return folder / f"{name}.loaderscope"

    return left


def entries(recent):
    recent.menu.aboutToShow.emit()
    return [action.text() for action in recent.menu.actions() if not action.isSeparator()]


def another_window(qtbot, settings):
    window = MainWindow(settings)
    qtbot.addWidget(window, before_close_func=lambda window: window.discard_and_close())
    return window


def test_scripts_and_sessions_are_offered_again_the_last_one_first(base, qtbot, window, settings, session, tmp_path):
    assert entries(window.recent) == [EMPTY_TEXT]
    script = write_script(tmp_path, "x = 1\n")
    window.open_path(str(script))
    window.open_path(str(session))
    assert window.save(str(tmp_path / "kept.loaderscope"))
    window.open_path(str(script))
    assert entries(window.recent) == [script.name, "kept.loaderscope", "three.loaderscope"]
    session.unlink()
    again = another_window(qtbot, settings)
    assert entries(again.recent) == [script.name, "kept.loaderscope"]
    again.recent.menu.actions()[1].trigger()
    assert again.windowTitle().startswith("kept.loaderscope")
    assert again.commands["open_recent"].menu() is again.recent.menu


def test_what_a_killed_window_did_not_save_is_told_and_can_be_opened(base, qtbot, settings, left):
    left("photos")
    window = another_window(qtbot, settings)
    with qtbot.waitExposed(window):
        window.show()
    assert "Open recent" in window.statusBar().currentMessage()
    assert not window.views.time_left.isVisible()
    assert entries(window.recent)[0].startswith("photos, not saved when its window ended")
    window.recent.menu.actions()[0].trigger()
    assert window.views.results.model.rowCount() == 4
    assert window.recent.paths == []  # it is offered as what it is


def test_a_sweep_that_was_recovered_is_no_longer_offered_once_it_is_saved(base, qtbot, settings, left, tmp_path):
    recovered, other = left("photos"), left("other")
    window = another_window(qtbot, settings)
    window.open_path(str(recovered))
    assert window.save(str(recovered)) and recovered.exists()  # saved over itself, it lies where it will be removed
    assert len(entries(window.recent)) == 2
    assert window.save(str(tmp_path / "kept.loaderscope"))
    assert not recovered.parent.exists()
    offered = entries(window.recent)
    assert offered[0].startswith("other, not saved") and offered[1:] == ["kept.loaderscope"]
    window.shown.choose_trial(2)
    assert window.views.timeline.scene is not None  # it is read from the new place, where marks go too
    window.views.timeline.marking.show([Mark(7, "here")])
    window.views.timeline.marking.changed.emit()
    with SessionFile.open(tmp_path / "kept.loaderscope") as kept:
        assert kept.marks(2) == [Mark(7, "here")]
    assert other.exists()


def test_a_window_that_was_killed_before_its_first_trial_left_nothing_to_save(base, window, settings, left):
    path = left("early")
    path.unlink()
    writer = SessionWriter(path)
    writer.close()
    recent = RecentFiles(window, settings, window.open_path)
    assert entries(recent) == [EMPTY_TEXT] and recent.notice == ""


def test_saving_a_sweep_that_was_broken_off_saves_what_was_in_its_log(base, qtbot, settings, left, tmp_path):
    recovered, running = left("photos"), tmp_path / "running.loaderscope"
    writer = SessionWriter(running)
    support_session.record(writer, support_session.make_run())
    for ending in ("", "-wal"):  # as they lie there when the window is killed
        shutil.copyfile(f"{running}{ending}", f"{recovered}{ending}")
    writer.close()
    window = another_window(qtbot, settings)
    window.open_path(str(recovered))
    assert window.save(str(tmp_path / "kept.loaderscope"))
    with SessionFile.open(tmp_path / "kept.loaderscope") as kept:
        assert len(kept.results) == 4 and kept.trace(1).span_count
    assert sorted(file.name for file in tmp_path.glob("kept*")) == ["kept.loaderscope"]


def test_what_is_old_or_empty_is_removed_and_what_another_window_has_is_left_alone(base, window, settings, left):
    old, other = left("old"), left("other", (os.getpid(), psutil.Process().create_time()))
    long_ago = time.time() - UNSAVED_KEPT_S - 60
    os.utime(old, (long_ago, long_ago))
    left("empty").unlink()
    recent = RecentFiles(window, settings, window.open_path)
    assert entries(recent) == [EMPTY_TEXT] and recent.notice == ""
    assert [folder.name for folder in base.iterdir()] == [other.parent.name]


def test_the_session_of_a_sweep_lies_in_a_folder_that_says_whose_it_is(base, window, monkeypatch, tmp_path):
    claimed = []
    monkeypatch.setattr("loaderscope.gui.run.live_run.claim", lambda folder: (claimed.append(folder), claim(folder)))
    window.live.start(Request(script=str(write_script(tmp_path, "x = 1\n")), axes=Axes(num_workers=(0,)), probe=False))
    (folder,) = claimed
    assert folder.parent == base and folder.name.startswith(WINDOW_PREFIX)
    assert window.live._thread.session_path.parent == folder
    assert json.loads((folder / "owner.json").read_text())["pid"] == os.getpid()
    window.discard_and_close()
    assert not folder.exists()
