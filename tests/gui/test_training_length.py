"""How long the training is and how many epochs a trial has, in the window."""

import pytest
from PySide6.QtCore import QUrl

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.request import Request
from loaderscope.facts.results import Recommendation
from loaderscope.gui.panels.finding_cards import recommendation_card
from loaderscope.gui.panels.sweep_panel import SweepPanel
from loaderscope.gui.style.theme import current_palette

REQUEST = Request(script="/x.py")


@pytest.fixture
def panel(qtbot):
    panel = SweepPanel()
    qtbot.addWidget(panel)
    return panel


def advice(caveat):
    return Recommendation(TrialConfig(0), TrialConfig(0), [], None, None, None, 2, "0 workers finish.", caveat)


def test_epochs_are_as_many_as_needed_unless_the_user_says_how_many(panel):
    assert panel.apply_to(REQUEST).epochs is None
    panel.epochs.setValue(3)
    assert panel.apply_to(REQUEST).epochs == 3
    panel.show_request(REQUEST)
    assert panel.apply_to(REQUEST).epochs is None


def test_either_epochs_or_batches_of_the_training_are_in_force(panel):
    assert panel.apply_to(REQUEST).train_batches is None
    assert panel.train_epochs.isEnabled()
    panel.train_batches.setValue(5000)
    assert panel.apply_to(REQUEST).train_batches == 5000
    assert not panel.train_epochs.isEnabled()
    panel.show_request(Request(script="/x.py", train_epochs=7))
    assert panel.train_epochs.isEnabled()
    assert (panel.apply_to(REQUEST).train_epochs, panel.apply_to(REQUEST).train_batches) == (7, None)


def test_one_measured_epoch_offers_a_second(window, monkeypatch):
    asked = []
    monkeypatch.setattr(window.starting, "_can_start", lambda _problem: True)
    monkeypatch.setattr(window.starting, "_start_run", asked.append)
    monkeypatch.setattr(window.setup, "request", lambda: window.setup.sweep_panel.apply_to(REQUEST))
    window.setup.sweep_panel.epochs.setValue(1)
    window.views.findings.set_findings([], advice("Only one epoch was measured."), True)
    assert "Only one epoch was measured." in window.views.findings.view.toPlainText()
    assert 'href="epochs:2"' in window.views.findings.view.toHtml()
    window.views.findings.view.anchorClicked.emit(QUrl("epochs:2"))
    assert [request.epochs for request in asked] == [2]
    assert window.setup.sweep_panel.epochs.value() == 2


def test_a_second_epoch_is_not_offered_where_it_was_measured_or_where_nothing_can_be_clicked(qapp):
    measured = recommendation_card(advice(None), current_palette(), has_links=True).html
    report = recommendation_card(advice("Only one epoch was measured."), current_palette(), has_links=False).html
    assert "epochs:2" not in measured + report
    assert "Only one epoch" in report
