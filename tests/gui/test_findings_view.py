"""The view of findings: its cards, keys and buttons, what it marks on the timeline, and the trial of a remedy."""

import dataclasses

import pytest
import support_session
from PySide6.QtCore import QPoint, Qt, QUrl
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication
from support_session import config_of

from loaderscope.analysis.text_table import Column, TextTable
from loaderscope.analysis.tried_remedies import TriedRemedy
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.finding_codes import finding_code
from loaderscope.facts.findings import Finding, Place, Remedy
from loaderscope.facts.request import REMEDY_REPEATS
from loaderscope.facts.results import SettingResult
from loaderscope.facts.run import Run
from loaderscope.gui.panels.finding_cards import finding_card, severity_role, tried_card
from loaderscope.gui.panels.findings_panel import FindingsPanel
from loaderscope.gui.panels.startup_panel import EXPERIMENT
from loaderscope.gui.style.palette import LIGHT
from loaderscope.gui.timeline.paint.places import place_boxes
from loaderscope.session.file import SessionWriter
from loaderscope.trace.process_places import ProcessPlace

REMEDY = Remedy("slow-sample", "in_order=False")
SLOW = Finding(
    "slow-sample",
    "warning",
    [2],
    "Slow samples hold up the line.",
    {"held_up_share": 0.23, "least_share": 0.1},
    "Hand out what is ready.",
    Estimate(120.0, (90.0, 144.0)),
    [Place(2, "worker-1", 0.06, 0.02), Place(2, "main", 0.1, 0.01)],
    "DataLoader(\n    dataset, in_order=False)",
    REMEDY,
    config_of(2, in_order=False),
)
SENT = Finding("large-pickle", "info", [1], "Each worker is sent 52 MB.", {"bytes": 52_000_000}, "Open it in the worker.")


@pytest.fixture
def panel(qtbot):
    panel = FindingsPanel()
    qtbot.addWidget(panel)
    panel.resize(600, 500)
    panel.show()
    panel.set_findings([SLOW, SENT], None, True, settings=[SettingResult(config_of(2), [2], train_s=720.0)])
    return panel


@pytest.fixture
def found(window, session):
    """A window that shows a session in which both are found."""
    window.open_path(str(session))
    window.views.findings.set_findings([SLOW, SENT], None, True)
    return window


def test_a_card_has_title_severity_evidence_with_threshold_gain_and_links(panel):
    text = panel.view.toPlainText()
    for part in (
        finding_code("slow-sample").title,
        "warning",
        "23 %",
        "threshold 10 %",
        "of your 12 min",
        "in_order=False",
        "Try it",
        "trial",
    ):
        assert part in text
    assert 'href="startup:Sent"' in panel.view.toHtml()


def test_cards_stand_in_the_order_of_the_verdict_and_only_the_chosen_one_shows_all(panel, qtbot):
    text = panel.view.toPlainText()
    assert text.index(SLOW.message) < text.index(SENT.message)
    assert SLOW.advice in text and SENT.advice not in text
    panel.select(SENT)
    text = panel.view.toPlainText()
    assert SENT.advice in text and SLOW.advice not in text


def test_up_and_down_choose_a_finding_and_enter_goes_to_its_first_place(panel, qtbot):
    chosen, gone_to = [], []
    panel.findingSelected.connect(chosen.append)
    panel.placeChosen.connect(gone_to.append)
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Up, Qt.Key.Key_Return):
        qtbot.keyClick(panel.view, key)
    assert chosen == [SLOW, SENT, SLOW]
    assert gone_to == [SLOW.places[0]]


def test_a_click_on_a_card_selects_it_and_goes_to_its_first_place(panel, qtbot):
    gone_to = []
    panel.placeChosen.connect(gone_to.append)
    box = panel.view.document().documentLayout().frameBoundingRect(panel.view.cards()[0])
    qtbot.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(round(box.right()) - 8, round(box.top()) + 8))
    assert panel.selected == SLOW and gone_to == [SLOW.places[0]]


def test_copy_puts_the_change_on_the_clipboard_and_try_it_asks_for_the_remedy(panel):
    asked = []
    panel.remedyChosen.connect(asked.append)
    panel.view.anchorClicked.emit(QUrl("copy:0"))
    assert QApplication.clipboard().text() == SLOW.change
    panel.view.anchorClicked.emit(QUrl("try:0"))
    assert asked == [SLOW]


def test_a_selected_finding_stays_selected_while_more_trials_support_it(panel):
    panel.select(SLOW)
    grown = dataclasses.replace(SLOW, trials=[2, 5], message="It goes on.")
    panel.set_findings([SENT, grown], None, True)
    assert panel.selected == grown
    panel.set_findings([SENT], None, True)
    assert panel.selected is None


def test_the_loaders_of_a_training_have_no_remedy_to_try(panel):
    panel.set_findings([SLOW], None, True, is_training=True)
    assert "try:" not in panel.view.toHtml()


def test_a_gain_that_nobody_knows_is_told_only_where_something_is_to_be_changed():
    unknown = dataclasses.replace(SLOW, gain_s=None)
    assert "gain not known" in finding_card(unknown, LIGHT).html
    assert "gain not known" not in finding_card(dataclasses.replace(unknown, severity="info"), LIGHT).html


def test_texts_of_a_script_are_no_markup_in_a_card():
    nasty = dataclasses.replace(SLOW, message="<b>x</b>", change="a < b", advice="<i>", evidence={"attribute": "<u>", "places": ["<s>: 1"]})
    text = finding_card(nasty, LIGHT, number=0).html
    assert not any(mark in text for mark in ("<b>x", "a < b", "<i>", "<u>", "<s>"))


def test_what_was_tried_stands_above_and_is_good_only_where_it_surely_helps(panel):
    told = TriedRemedy(REMEDY, [0], [1], Estimate(316.0), Estimate(490.0), Estimate(1.55, (1.5, 1.61)), "Before 316, after 490.")
    panel.set_findings([SLOW], None, True, tried=[told])
    text = panel.view.toPlainText()
    assert text.index(told.sentence) < text.index(SLOW.message)
    assert tried_card(told, LIGHT).colour == LIGHT.good
    assert tried_card(dataclasses.replace(told, ratio=Estimate(0.8, (0.7, 0.9))), LIGHT).colour == LIGHT.warning
    assert tried_card(dataclasses.replace(told, ratio=Estimate(1.1, (0.9, 1.3))), LIGHT).colour == LIGHT.muted


def test_the_rules_for_workers_unfold(panel):
    rules = TextTable((Column("workers", True), Column("measured here", True)), (("2–4", "480 samples/s"),))
    panel.set_findings([SLOW], None, True, rules=rules)
    assert "480 samples/s" not in panel.view.toPlainText()
    panel.view.anchorClicked.emit(QUrl("rules:"))
    assert "480 samples/s" in panel.view.toPlainText()


def test_selecting_a_finding_marks_its_places_on_the_timeline_of_their_trial_alone(found):
    timeline, findings = found.views.timeline, found.views.findings
    findings.select(SLOW)
    assert timeline.places is not None and timeline.places.places == tuple(SLOW.places)
    assert timeline.places.role == severity_role("warning")
    found.shown.choose_trial(1)
    assert timeline.places is None
    found.shown.choose_trial(2)
    findings.select(SENT)
    assert timeline.places is None


def test_a_place_is_painted_in_the_colour_of_the_severity_and_named_in_a_tool_tip(found):
    timeline = found.views.timeline
    timeline.fit_all()
    before = timeline.grab().toImage()
    found.views.findings.select(SLOW)
    after = timeline.grab().toImage()
    with timeline.canvas() as canvas:
        boxes = [box for box, _ in place_boxes(canvas, timeline.places)]
        edge = QColor(canvas.palette.warning)
    assert len(boxes) == 2
    ratio = after.devicePixelRatio()
    for box in boxes:
        at = round(box.left() * ratio), round(box.center().y() * ratio)
        assert before.pixelColor(*at) != after.pixelColor(*at)
        assert any(after.pixelColor(at[0] + beside, at[1]).name() == edge.name() for beside in (-1, 0, 1))
    title = finding_code("slow-sample").title
    assert timeline.tip_at(boxes[0].center().toPoint()) == title
    assert timeline.tip_at(QPoint(2, 2)) != title


def test_a_click_shows_the_place_of_another_trial_with_what_is_around_it(found):
    found.shown.choose_trial(0)
    place = SLOW.places[0]
    found.views.findings.placeChosen.emit(place)
    timeline = found.views.timeline
    assert found.shown.trial == place.trial
    first_s, last_s = ((time_ns - timeline.scene.origin_ns) / 1e9 for time_ns in timeline.visible_range_ns())
    assert first_s < place.start_s and place.start_s + place.seconds < last_s
    assert last_s - first_s < 4 * place.seconds


def test_try_it_starts_trials_of_the_setting_and_the_remedy(found, monkeypatch):
    asked = []
    request = support_session.make_run().request
    monkeypatch.setattr(type(found.setup), "sweep_problem", property(lambda setup: ""))
    monkeypatch.setattr(found.setup, "request", lambda: request)
    monkeypatch.setattr(found.starting, "_start_run", asked.append)
    found.views.findings.view.anchorClicked.emit(QUrl("try:0"))
    (started,) = asked
    assert started.remedy is not None
    assert (started.remedy.remedy, started.remedy.config, started.repeats) == (REMEDY, SLOW.config, REMEDY_REPEATS)
    assert started.axes.num_workers == (2,) and not started.ceiling


def test_where_the_processes_stand_is_told_in_the_log(window):
    window.live.placesFound.emit([ProcessPlace("worker-0", 7, "/data/train.py", 87, "load", True)])
    assert "worker 0: train.py:87 in load" in window.views.log.view.toPlainText()


def test_the_headline_is_never_cut(window, qtbot):
    long = " ".join(["A first sentence that says quite a lot about the run and its setting.", *["Another one says more about it."] * 4])
    for width in (1600, 1100, 800):
        window.resize(width, 700)
        window.views.show_headline(long)
        QApplication.processEvents()
        headline = window.views.headline
        qtbot.waitUntil(lambda headline=headline: headline.height() >= headline.minimumSizeHint().height())
        assert "…" not in headline.text() and headline.text().endswith("about it.")
        assert headline.width() > 300


def test_a_session_of_the_start_up_experiment_opens_on_its_own_view(window, tmp_path):
    run = support_session.make_run(startup=True)
    writer = SessionWriter(tmp_path / "startup.loaderscope")
    support_session.record(writer, Run(**{**vars(run), "controls": []}))
    writer.close()
    window.views.docks["throughput"].raise_()
    window.open_path(str(tmp_path / "startup.loaderscope"))
    QApplication.processEvents()
    assert window.views.startup.view == EXPERIMENT and window.views.startup.isVisible()
