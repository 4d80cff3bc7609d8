"""The cards of findings in reports: on the page, and as painted pieces that no page cuts."""

import pytest
from PySide6.QtGui import QColor, QImage, QPainter

from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding
from loaderscope.gui.panels.finding_cards import finding_card
from loaderscope.gui.report.blocks import Report, Section
from loaderscope.gui.report.content import build_report
from loaderscope.gui.report.html import to_html
from loaderscope.gui.report.painted_blocks import pieces_of
from loaderscope.gui.style.palette import LIGHT
from loaderscope.session.file import SessionFile

FINDING = Finding(
    "slow-sample",
    "warning",
    [2],
    "Slow samples hold up the line.",
    {"held_up_share": 0.23, "least_share": 0.1},
    "Hand out what is ready.",
    Estimate(120.0, (90.0, 144.0)),
    change="DataLoader(\n    dataset, in_order=False)",
)


@pytest.fixture
def report(qapp):
    return Report("data", "train.py", "", (Section("What to do", (finding_card(FINDING, LIGHT),)),), "Made.")


def test_the_page_has_a_card_with_gain_evidence_and_change_and_nothing_to_click(report):
    page = to_html(report)
    card = page[page.index("<div class='card'") :].partition("</div>")[0]
    for part in (LIGHT.warning, "2\u00a0min", "23\u00a0%", "in_order=False"):
        assert part in card
    assert "<a " not in card


def test_a_painted_card_is_one_piece_beside_a_line_in_its_colour(report):
    pieces = pieces_of(report, 600, 800.0)
    card = next(piece for piece in pieces if piece.height > 80)
    image = QImage(600, round(card.height) + 1, QImage.Format.Format_RGB32)
    image.fill(QColor(LIGHT.base))
    painter = QPainter(image)
    card.paint(painter)
    painter.end()
    for y in (2, image.height() // 2, image.height() - 4):
        assert image.pixelColor(1, y).name() == LIGHT.warning
        assert image.pixelColor(7, y).name() == LIGHT.base


def test_a_report_has_the_rules_for_workers_beside_what_was_measured(qapp, session):
    with SessionFile.open(session) as opened:
        page = to_html(build_report(opened))
    assert "Rules of thumb" in page and "with 2 workers, recommended" in page
