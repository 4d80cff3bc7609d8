"""Figures of the timeline and of charts: asked for, painted beside the window, cancelled, remembered, and alike for alike data."""

from __future__ import annotations

import threading
import time

import pytest
import support_session
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox, QPushButton
from synthetic import SECOND

from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.charts.plot import Plot
from loaderscope.gui.style.figures import Figure, caption_of
from loaderscope.gui.style.palette import LIGHT
from loaderscope.gui.window.figure_export import FIRST, TRIAL, FigureChoice, FigureDialog, Options, Subject
from loaderscope.gui.window.save_dialogs import REPORT_FILTER, with_ending


@pytest.fixture
def opened(window, qtbot, session):
    window.open_path(str(session))
    with qtbot.waitSignal(window.views.late.waitsFound, check_params_cb=lambda late: late is not None):
        window.views.timeline.repaint()  # arrows are part of what is seen
    return window


def subjects_of(window, monkeypatch, **options):
    """What the dialog is asked with, after answering it with one of them."""
    asked = []

    def ask(subjects, current):
        asked.append((subjects, current))
        return FigureChoice(subjects[current], Options(**options))

    monkeypatch.setattr(window.figures, "ask", ask)
    return asked


def exported(window, qtbot, monkeypatch, target, **options):
    asked = subjects_of(window, monkeypatch, format=target.suffix[1:], **options)
    monkeypatch.setattr(window.figures, "ask_name", lambda *_: str(target))
    with qtbot.waitSignal(window.figures.ended):
        window.commands["export"].trigger()
    return asked


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_timeline_is_written_in_every_format(opened, qtbot, monkeypatch, tmp_path, suffix):
    target = tmp_path / f"figure.{suffix}"
    ((subjects, current),) = exported(opened, qtbot, monkeypatch, target)
    assert subjects[current].is_timeline and target.stat().st_size > 4000
    assert [path for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_the_resolution_of_a_picture_is_chosen(opened, qtbot, monkeypatch, tmp_path):
    sizes = []
    for scale in (1, 4):
        exported(opened, qtbot, monkeypatch, tmp_path / f"{scale}.png", scale=scale, width=800)
        sizes.append(QImage(str(tmp_path / f"{scale}.png")).size())
    assert sizes[0].width() == 800 and abs(sizes[1].width() - 3200) <= 1 and abs(sizes[1].height() - 4 * sizes[0].height()) <= 2


def test_the_size_of_the_window_makes_no_difference(opened, qtbot, monkeypatch, tmp_path):
    exported(opened, qtbot, monkeypatch, tmp_path / "a.png", time=TRIAL)
    opened.resize(1100, 800)
    exported(opened, qtbot, monkeypatch, tmp_path / "b.png", time=TRIAL)
    assert QImage(str(tmp_path / "a.png")) == QImage(str(tmp_path / "b.png"))


def test_the_same_seconds_give_two_trials_the_same_axis(opened, qtbot, monkeypatch, tmp_path):
    from loaderscope.gui.timeline.paint import timeline_figure

    seen = []
    plain = timeline_figure.paint

    def paint(painter, scene, view, *more, **rest):
        seen.append(view)
        return plain(painter, scene, view, *more, **rest)

    monkeypatch.setattr(timeline_figure, "paint", paint)
    for number, trial in enumerate((0, 2)):
        opened.shown.choose_trial(trial)
        exported(opened, qtbot, monkeypatch, tmp_path / f"{number}.png", time=FIRST, seconds=0.25)
    assert seen[0] == seen[1] and seen[0].span == pytest.approx(0.25 * SECOND)


def test_every_chart_that_shows_something_is_offered_and_the_focused_one_proposed(opened, qtbot, monkeypatch, tmp_path):
    opened.activateWindow()
    opened.views.throughput.setFocus()
    ((subjects, current),) = exported(opened, qtbot, monkeypatch, tmp_path / "c.svg")
    assert subjects[current].name == opened.views.throughput.accessibleName()
    text = (tmp_path / "c.svg").read_text("utf-8")
    assert "num_workers" in text and "träin.py" in text and "2026-09" in text
    assert opened.views.memory.accessibleName() not in [subject.name for subject in subjects]  # this run sampled none


def test_a_chart_is_copied_by_its_keys_and_from_its_menu(opened, qtbot):
    chart = opened.views.throughput
    opened.activateWindow()
    chart.setFocus()
    QApplication.clipboard().clear()
    with qtbot.waitSignal(opened.figures.ended):
        qtbot.keyClick(chart, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    image = QApplication.clipboard().image()
    assert image.pixelColor(3, 3).name() == LIGHT.base
    wanted = {"copy_figure", "export"}
    assert all(wanted <= {action.objectName() for action in chart.actions()} for chart in opened.findChildren(Chart))


def test_a_chart_is_painted_in_the_thread_of_the_window(opened, qtbot, monkeypatch, tmp_path):
    """Its graphics items belong to that thread."""
    threads, record = [], Plot.record

    def watched(plot, size):
        threads.append(threading.current_thread())
        return record(plot, size)

    monkeypatch.setattr(Plot, "record", watched)
    opened.activateWindow()
    opened.views.throughput.setFocus()
    exported(opened, qtbot, monkeypatch, tmp_path / "chart.png")
    opened.commands["copy_figure"].trigger()
    assert threads == [threading.main_thread()] * 2 and not opened.figures.busy


def test_what_was_chosen_is_remembered(opened, qtbot, monkeypatch, tmp_path):
    exported(opened, qtbot, monkeypatch, tmp_path / "a.svg", scale=3, width=1000, time=FIRST, seconds=2.5)
    assert opened.figures.options == Options("svg", 3, 1000, FIRST, 2.5)
    opened.figures._settings.setValue("figure/scale", "many")
    opened.figures._settings.setValue("figure/time", "never")
    assert opened.figures.options == Options()


def test_painting_a_timeline_holds_up_nothing_and_can_be_cancelled(opened, qtbot, monkeypatch, tmp_path):
    """While a figure is painted the window's thread goes on; what was cancelled leaves no file."""
    begun, go_on, threads = threading.Event(), threading.Event(), []

    def paint(painter):
        threads.append(threading.current_thread())
        begun.set()
        go_on.wait(30)

    target = tmp_path / "slow.png"
    slow = Subject("slow", lambda _: Figure("slow", paint, 50, 50), is_timeline=True)
    monkeypatch.setattr(opened.figures, "ask", lambda *_: FigureChoice(slow, Options()))
    monkeypatch.setattr(opened.figures, "ask_name", lambda *_: str(target))
    opened.figures._progress_delay.setInterval(1)
    opened.commands["export"].trigger()
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    qtbot.waitUntil(lambda: opened.figures._progress is not None and opened.figures._progress.isVisible())
    opened.figures._progress.findChild(QPushButton).click()
    assert not opened.figures.busy and opened.figures._progress is None
    go_on.set()
    threads[0].join(10)
    assert threads[0] is not threading.main_thread()
    assert not target.exists() and not list(tmp_path.glob("*.part"))


def test_one_figure_at_a_time(opened, qtbot, monkeypatch):
    go_on, told = threading.Event(), []
    monkeypatch.setattr(opened.figures, "_show_problem", told.append)
    opened.figures.copy(Subject("slow", lambda _: go_on.wait(30) and Figure("slow", lambda _: None, 5, 5), is_timeline=True))
    opened.figures.copy(Subject("second", lambda _: Figure("x", lambda _: None, 5, 5)))
    assert "painted still" in told[0]
    with qtbot.waitSignal(opened.figures.ended):
        go_on.set()
    assert not opened.figures.busy


def test_a_figure_that_cannot_be_written_is_a_sentence(opened, qtbot, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(opened.figures, "_show_problem", told.append)
    exported(opened, qtbot, monkeypatch, tmp_path / "missing" / "a.png")
    assert "could not be written" in told[0] and "No such file" in told[0]


def test_the_dialog_lets_nothing_be_chosen_that_makes_no_difference(qtbot):
    subjects = [Subject("Timeline", lambda _: None, True), Subject("Memory", lambda _: None)]
    dialog = FigureDialog(subjects, 0, Options(time=FIRST))
    qtbot.addWidget(dialog)
    assert dialog.scale.isEnabled() and dialog.seconds.isEnabled()
    dialog.format.setCurrentIndex(1)
    dialog.time.setCurrentIndex(1)
    assert not dialog.scale.isEnabled() and not dialog.seconds.isEnabled()
    dialog.subject.setCurrentIndex(1)
    assert not dialog.width_px.isEnabled() and not dialog.time.isEnabled()
    assert dialog.choice == FigureChoice(subjects[1], Options("svg", 2, 1400, TRIAL, 5.0))


def test_a_caption_states_script_settings_machine_versions_and_date(monkeypatch):
    caption = caption_of(support_session.make_run(), "trial 2 · 2 workers")
    for told in ("träin.py", "trial 2 · 2 workers", "sleep 2 ms", "Linux", "4 CPUs", "Python 3.11.9", "torch 2.13.0", "Loaderscope"):
        assert told in caption, told
    assert time.strftime("%Y-%m-%d", time.localtime(1_790_000_000)) in caption


@pytest.mark.parametrize(
    ("chosen", "written"),
    [
        ("run.v2", "run.v2.svg"),
        ("loss at 0.5", "loss at 0.5.svg"),
        ("plain", "plain.svg"),
        ("as it is.svg", "as it is.svg"),
        ("other.PNG", "other.PNG"),
    ],
)
def test_the_ending_of_the_format_is_added_to_a_name_without_a_known_one(opened, qtbot, monkeypatch, tmp_path, chosen, written):
    def choose(_window, _title, _proposed, file_filter):
        return str(tmp_path / chosen), file_filter.split(";;")[0]

    before = {path.name for path in tmp_path.iterdir()} | {"settings.ini"}
    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    monkeypatch.setattr(opened.figures, "ask", lambda subjects, current: FigureChoice(subjects[current], Options("svg")))
    with qtbot.waitSignal(opened.figures.ended):
        opened.commands["export"].trigger()
    assert {path.name for path in tmp_path.iterdir()} - before == {written}


def test_a_file_is_not_replaced_under_a_name_that_got_its_ending_later(opened, monkeypatch, tmp_path):
    kept, answers = tmp_path / "run.v2.png", []
    kept.write_text("older")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "run.v2"), "PNG picture (*.png)"))
    monkeypatch.setattr(QMessageBox, "question", lambda *question: answers.append(question[2]) or QMessageBox.StandardButton.No)
    assert opened.dialogs.save("Export figure", "x.png", "PNG picture (*.png)") == ""
    assert answers == ["run.v2.png exists already. Replace it?"] and kept.read_text() == "older"


@pytest.mark.parametrize(("kind", "written"), [("Reports (*.html)", "a.b.html"), ("Pictures (*.png *.svg)", "a.b.png"), ("", "a.b.html")])
def test_a_report_ends_as_the_chosen_kind(kind, written):
    assert with_ending("a.b", kind, REPORT_FILTER) == written
