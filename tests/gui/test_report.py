"""Reports: each format tells everything, nothing is cut at a page's end, and no text of the user can break them."""

from __future__ import annotations

import dataclasses
import html
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import pytest
import support_session
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QFontDatabase, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer
from synthetic import MS
from synthetic import make_trace as make_synthetic

from loaderscope.analysis.verdict import judge
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Mark
from loaderscope.facts.startup_results import SentPart
from loaderscope.gui.report.blocks import Facts, Picture, Report, Section, Table, TableRow, Words, unbroken
from loaderscope.gui.report.content import build_report
from loaderscope.gui.report.html import to_html
from loaderscope.gui.report.painted_blocks import Piece, pieces_of
from loaderscope.gui.report.painted_report import WIDTH_PX, split_into_pages, tall_page, write_pdf
from loaderscope.gui.report.startup_section import startup_blocks
from loaderscope.gui.report.timeline_pictures import make_timeline, timelines_figure
from loaderscope.gui.report.write_report import write_report, write_timeline
from loaderscope.gui.style.figures import Figure
from loaderscope.gui.timeline.data.row_layout import AXIS_PX
from loaderscope.gui.timeline.paint.arrows import LateArrows
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure, timeline_parts
from loaderscope.session.file import SessionFile, SessionWriter

pytestmark = pytest.mark.usefixtures("qapp")

CHROMIUM = shutil.which("chromium")

EVIL = "<script>alert('x')</script> & \"quoted\" " + "long_name_" * 30


def write_session(path, run, results=None):
    writer = SessionWriter(path)
    if results is None:
        support_session.record(writer, run)
    else:
        writer.run_started(run)
        for result in results:
            writer.trial_finished(result, None)
        writer.run_finished(cancelled=True)
    writer.close()
    return path


@pytest.fixture
def session(tmp_path):
    return write_session(tmp_path / "run.loaderscope", support_session.make_run())


def blank(height, **more):
    return Piece(height, lambda painter: None, **more)


def words_of(path):
    """All text of a drawing."""
    drawing = xml.etree.ElementTree.parse(path)
    return " ".join("".join(element.itertext()) for element in drawing.iter() if element.tag.endswith("text"))


class Page(html.parser.HTMLParser):
    """What a browser would fetch and run, the texts, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.tags, self.texts, self.alts, self.open, self.ids = [], [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "action", "data"):
                self.fetched.append(value)
            if name == "alt":
                self.alts.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_needs_nothing_else_and_tells_everything(session, tmp_path):
    write_report(session, [tmp_path / "r.html"])
    text = (tmp_path / "r.html").read_text("utf-8")
    page = Page(text)
    assert page.open == []
    assert all(source.startswith("data:image/png;base64,") for source in page.fetched)
    assert not re.search(r"url\(|@import|http", text)
    assert len(page.fetched) == len(page.alts) >= 4 and len(set(page.ids)) == len(page.ids)
    assert all(told in " ".join(page.alts) for told in ("2 workers", "samples/s", "first batch after")), page.alts
    for told in ("make_dataset", "träin.py", "This system has no nonsense.", "★ 2", "samples/s", "What to do", "torch 2.13.0", "2026-09"):
        assert told in "".join(page.texts), told
    assert "aligned at their first batch" in text


def test_texts_of_the_user_stay_texts(tmp_path):
    run = support_session.make_run(workers=(0,))
    run = dataclasses.replace(run, script=f"/data/{EVIL}.py", target=dataclasses.replace(run.target, name=EVIL))
    failed = support_session.TrialResult(
        0, 0, "failed", support_session.config_of(2), support_session.ErrorInfo("ValueError", EVIL * 200, "Traceback …")
    )
    path = write_session(tmp_path / "evil.loaderscope", run, [failed])
    outputs = [tmp_path / f"r{suffix}" for suffix in (".html", ".svg", ".pdf", ".png")]
    write_report(path, outputs)
    text = outputs[0].read_text("utf-8")
    page = Page(text)
    assert "script" not in page.tags and EVIL in "".join(page.texts)
    assert len(text) < 40_000  # the message is cut
    drawing = xml.etree.ElementTree.parse(outputs[1])
    assert not [element for element in drawing.iter() if element.tag.endswith("script")]


def test_the_drawing_has_text_as_text_and_looks_like_the_picture(session, tmp_path):
    outputs = [tmp_path / "r.png", tmp_path / "r.svg"]
    write_report(session, outputs)
    words = words_of(outputs[1])
    for told in ("What to do", "samples/s", "nonsense", "How it was measured", "worker 1", "since first batch"):
        assert told in words, told
    image = QImage(str(outputs[0]))
    drawn = QImage(image.size(), QImage.Format.Format_RGB32)
    drawn.fill(QColor("#ffffff"))
    painter = QPainter(drawn)
    QSvgRenderer(str(outputs[1])).render(painter, QRectF(drawn.rect()))
    painter.end()
    small = [picture.scaled(60, 200).convertToFormat(QImage.Format.Format_Grayscale8) for picture in (image, drawn)]
    pairs = [[small[k].pixelColor(x, y).lightness() for k in (0, 1)] for x in range(60) for y in range(200)]
    assert sum(abs(one - other) > 60 for one, other in pairs) < 0.03 * len(pairs)


def test_no_row_and_no_figure_is_cut_at_a_page_and_titles_of_columns_are_repeated(session):
    with SessionFile.open(session) as opened:
        report = build_report(opened)
    table = Table(("a", "b"), ("", ""), tuple(TableRow((str(i), "x"), note="why " * 60 if i % 7 == 0 else "") for i in range(150)))
    report = dataclasses.replace(report, sections=(*report.sections, Section("Many", (table,))))
    tall = 1000.0
    pages = split_into_pages(pieces_of(report, WIDTH_PX, tall), tall)
    assert len(pages) > 4
    for placed in pages:
        ends = [one.y + one.piece.height for one in placed]
        assert max(ends) <= tall
        assert all(below.y >= end for end, below in zip(ends, placed[1:], strict=False))
        assert not placed[-1].piece.stays_with_next
    begun = [placed for placed in pages if any(one.piece.repeated for one in placed[1:2])]
    assert len(begun) >= 3 and all(placed[0].piece is placed[1].piece.repeated for placed in begun)


def test_a_heading_moves_to_the_page_of_what_it_is_above():
    pages = split_into_pages([blank(60), blank(20, stays_with_next=True), blank(30)], 100)
    assert [len(placed) for placed in pages] == [1, 2]


def test_a_figure_taller_than_a_page_is_made_smaller(make_trace):
    trace = make_trace(num_workers=64, batches=70)
    picture = Picture("many workers", lambda width: timeline_figure(trace, title="64 workers", width=width), "")
    assert picture.make_figure(WIDTH_PX).size.height() > 1000
    report = Report("t", "s.py", "", (Section("Before", (Words("x<br>" * 9),)), Section("Timeline", (picture,))), "")
    pieces = pieces_of(report, WIDTH_PX, 1000.0)
    pages = split_into_pages(pieces, 1000.0)
    heading, drawn = pages[1][:2]
    assert [heading.piece, drawn.piece] == pieces[3:5]
    assert drawn.y + drawn.piece.height <= 1000
    image = QImage(WIDTH_PX + 200, 1000, QImage.Format.Format_RGB32)
    image.fill(QColor("#ffffff"))
    painter = QPainter(image)
    drawn.piece.paint(painter)
    painter.end()
    inked = [x for x in range(image.width()) if image.pixelColor(x, 300) != QColor("#ffffff")]
    assert WIDTH_PX - 3 < max(inked) <= WIDTH_PX  # as wide as the page all the same


def texts_of(figure, path):
    """What is written in a figure."""
    return re.findall(r">([^<>]+)</text>", figure.write(path).read_text(encoding="utf-8"))


def test_a_timeline_of_many_lanes_goes_over_pages_instead_of_being_made_unreadable(make_trace, tmp_path):
    trace, plain = make_trace(num_workers=64, batches=70), make_trace(num_workers=0, batches=8)
    shown = [(plain, "none"), (trace, "many")]
    parts = timeline_parts(shown, width=WIDTH_PX, tallest=1000.0)
    assert len(parts) > 1
    assert all(part.size.height() <= 1000 for part in parts)
    written = [texts_of(part, tmp_path / f"{number}.svg") for number, part in enumerate(parts)]
    lanes = [[text for text in texts if re.fullmatch(r"worker \d+", text)] for texts in written]
    assert [lane for part in lanes for lane in part] == [f"worker {number}" for number in range(64)]
    assert all("main" in texts and any(text.endswith("ms") for text in texts) for texts in written)
    assert ["many" in texts for texts in written] == [True] + [False] * (len(parts) - 1)
    assert all("many · continued" in texts for texts in written[1:])

    def drawn(width):
        return timeline_figure(plain, title="none", width=width, below=(trace, "many"))

    picture = Picture("many workers", drawn, "", make_parts=lambda width, tall: timeline_parts(shown, width=width, tallest=tall))
    report = Report("t", "s.py", "", (Section("Timeline", (picture,)),), "")
    pages = split_into_pages(pieces_of(report, WIDTH_PX, 1000.0), 1000.0)
    assert len(pages) >= len(parts)
    assert all(placed.y + placed.piece.height <= 1000 for page in pages for placed in page)
    sizes = [(int(width), int(height)) for width, height in re.findall(r"<img [^>]*width='(\d+)' height='(\d+)'", to_html(report))]
    assert len(sizes) > 1
    assert all(height < 1.27 * width for width, height in sizes)  # each fits a printed page as wide as that


def test_a_timeline_that_is_read_well_on_one_page_is_not_cut(make_trace):
    trace = make_trace(num_workers=8, batches=30)

    def cut(width, tall):
        raise AssertionError("not needed")

    picture = Picture("some workers", lambda width: timeline_figure(trace, title="8 workers", width=width), "", make_parts=cut)
    report = Report("t", "s.py", "", (Section("Timeline", (picture,)),), "")
    assert len(pieces_of(report, WIDTH_PX, 1200.0)) == 4  # the title, the heading, the timeline and the colophon


def test_the_pdf_has_numbered_pages(session, tmp_path):
    write_report(session, [tmp_path / "r.pdf"])
    content = (tmp_path / "r.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", content)) >= 2


def test_nothing_sticks_out_of_a_drawing(tmp_path, session):
    """Lines of plots begin before the visible range, and SVG drawings are not clipped."""
    from loaderscope.gui.report.painted_blocks import MARGIN_PX

    write_report(session, [tmp_path / "r.svg"])
    renderer = QSvgRenderer(str(tmp_path / "r.svg"))
    image = QImage(renderer.viewBox().size(), QImage.Format.Format_RGB32)
    image.fill(QColor("#ffffff"))
    painter = QPainter(image)
    renderer.render(painter)
    painter.end()
    margins = [*range(MARGIN_PX - 2), *range(image.width() - MARGIN_PX + 3, image.width())]
    assert {image.pixelColor(x, y).name() for x in margins for y in range(0, image.height())} == {"#ffffff"}


def test_a_table_of_all_columns_fits_the_page(tmp_path):
    titles = tuple(f"column {i}" for i in range(24))
    table = Table(titles, titles, (TableRow(("123.4 MB",) * 24),))
    report = Report("t", "s.py", "", (Section("Results", (table,)),), "")
    rows = [piece for piece in pieces_of(report, WIDTH_PX, 1000.0) if piece.repeated]
    image = QImage(WIDTH_PX + 200, 40, QImage.Format.Format_RGB32)
    image.fill(QColor("#ffffff"))
    painter = QPainter(image)
    rows[0].paint(painter)
    painter.end()
    inked = [x for x in range(image.width()) if any(image.pixelColor(x, y) != QColor("#ffffff") for y in range(12))]
    assert inked and WIDTH_PX - 60 < max(inked) < WIDTH_PX


def test_words_begin_at_the_left_and_one_long_cell_does_not_make_the_others_small():
    table = Table(("name", "n"), ("", ""), (TableRow(("x" * 500, "7")), TableRow(("y", "8"))), names=1)
    report = Report("t", "s.py", "", (Section("Results", (table,)),), "")
    rows = [piece for piece in pieces_of(report, WIDTH_PX, 1000.0) if piece.repeated]
    assert rows[0].height > 15
    image = QImage(WIDTH_PX, 20, QImage.Format.Format_RGB32)
    image.fill(QColor("#ffffff"))
    painter = QPainter(image)
    rows[1].paint(painter)
    painter.end()
    inked = [x for x in range(WIDTH_PX) if any(image.pixelColor(x, y).lightness() < 120 for y in range(14))]
    assert min(inked) < 12 and max(inked) > 300
    assert "<td class='name'>y</td><td>8</td>" in to_html(report)


def test_a_run_without_a_finished_trial_is_reported_as_such(tmp_path):
    run = support_session.make_run(workers=(0, 1))
    for name, results in (("none", []), ("skipped", [TrialResult(0, None, "skipped", support_session.config_of(0))])):
        path = write_session(tmp_path / f"{name}.loaderscope", run, results)
        outputs = [tmp_path / f"{name}{suffix}" for suffix in (".html", ".pdf", ".svg", ".png")]
        write_report(path, outputs)
        assert "How it was measured" in outputs[0].read_text("utf-8")
        assert all(output.stat().st_size > 1000 for output in outputs)


def test_facts_stay_on_one_page():
    report = Report("t", "s.py", "", (Section("How", (Words("x"), Facts(tuple((str(i), "v") for i in range(9))))),), "")
    pieces = pieces_of(report, WIDTH_PX, 1000.0)
    tall = sum(piece.above + piece.height for piece in pieces) - 60
    pages = split_into_pages(pieces, tall)
    assert len(pages) == 2 and len(pages[1]) >= 9


def test_a_report_is_written_without_a_display_and_without_torch(session, tmp_path):
    code = f"""
import sys
from pathlib import Path
from loaderscope.gui.report.write_report import write_report
write_report(Path({str(session)!r}), [Path({str(tmp_path)!r}) / name for name in ("x.html", "x.pdf", "x.svg", "x.png")])
print("torch" in sys.modules)
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout.strip() == "False", done.stderr
    assert (tmp_path / "x.html").stat().st_size > 10_000


@pytest.mark.parametrize("suffix", ["html", "pdf", "png", "svg"])
def test_a_report_that_cannot_be_written_raises_and_leaves_nothing(session, tmp_path, suffix):
    with pytest.raises(OSError, match="no such folder"):
        write_report(session, [tmp_path / "no such folder" / f"r.{suffix}"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.loaderscope"]


def test_a_pdf_is_whole_or_not_there(session, tmp_path):
    with SessionFile.open(session) as opened:
        report = build_report(opened)

    def fail(width):
        raise OSError("disk full")

    broken = dataclasses.replace(report, sections=(Section("x", (Picture("x", fail, ""),)),))
    target = tmp_path / "r.pdf"
    target.write_text("what was there before")
    with pytest.raises(Exception, match="disk full"):
        write_pdf(broken, target)
    assert target.read_text() == "what was there before" and len(list(tmp_path.iterdir())) == 2
    assert "disk" not in to_html(report)


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of file sizes stands for the full disk")
@pytest.mark.parametrize("suffix", ["html", "pdf", "svg", "png"])
@pytest.mark.parametrize(
    "write", [write_report, lambda session, outputs: write_timeline(session, outputs[0], [0])], ids=["report", "figure"]
)
def test_a_file_that_does_not_fit_on_the_disk_is_reported_and_not_there(session, tmp_path, suffix, write):
    import resource

    if suffix == "html" and write is not write_report:
        pytest.skip("a figure is no page")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        with pytest.raises((OSError, ValueError), match="too large"):
            write(session, [tmp_path / f"r.{suffix}"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["run.loaderscope"]


def test_a_report_shows_the_marks_that_the_session_keeps(session, tmp_path):
    write_report(session, [tmp_path / "before.svg"])
    with SessionFile.open(session) as opened:
        for trial, text in ((0, "here it is slow"), (2, "here it is quick")):
            opened.set_marks(trial, [Mark(opened.trace(trial).origin_ns + 90 * MS, text)])
    write_report(session, [tmp_path / "r.html", tmp_path / "r.svg"])
    before, after = (words_of(tmp_path / name) for name in ("before.svg", "r.svg"))
    assert "here it is" not in before
    assert after.count("here it is slow") == 1  # in the pair
    assert after.count("here it is quick") == 4  # in two pairs, by itself, and in its caption
    assert "Marked: here it is quick (90.0 ms)" in (tmp_path / "r.html").read_text("utf-8")
    write_timeline(session, tmp_path / "t.svg", [0, 2])
    assert "here it is slow" in words_of(tmp_path / "t.svg") and "here it is quick" in words_of(tmp_path / "t.svg")


def test_flags_of_marks_stand_on_an_axis_and_not_on_the_title(make_trace):
    traces = [make_trace(num_workers=workers, batches=20) for workers in (0, 2)]
    marks = [[Mark(trace.origin_ns + 50 * MS, "x")] for trace in traces]
    heights = [
        timeline_figure(traces[0], title="0", below=(traces[1], "2"), marks=shown).height
        for shown in ([], [marks[0]], [[], marks[1]], marks)
    ]
    assert heights == [heights[0], heights[0], heights[0] + AXIS_PX, heights[0] + AXIS_PX]


def test_a_report_shows_what_kept_late_batches(tmp_path):
    """Of the trial that stands for the run, in which each ninth batch takes long."""
    path, run = tmp_path / "run.loaderscope", support_session.make_run(workers=(0, 4))
    settings = {"batches": 60, "step_ns": 8 * MS, "sample_events": True}
    uneven = make_synthetic(num_workers=4, fetch_ns=lambda batch: 200 * MS if batch % 9 == 7 else 20 * MS, **settings)
    writer = SessionWriter(path)
    support_session.record(writer, run, {0: make_synthetic(num_workers=0, fetch_ns=20 * MS, **settings), 1: uneven})
    writer.close()
    write_report(path, [tmp_path / "r.html"])
    text = (tmp_path / "r.html").read_text("utf-8")
    told = re.search(r"Arrows lead from what kept a batch to the wait for it, the longest ([^<]*)<", text)
    assert told is not None and re.search(r"for batch \d+, as worker \d fetched ", told[1])
    with SessionFile.open(path) as opened:
        results = list(opened.results)
        drawn = make_timeline(opened, results[1], opened.trace(1))
    pictures = [
        timelines_figure([dataclasses.replace(drawn, arrows=arrows)], width=900).image(1.0) for arrows in (drawn.arrows, LateArrows())
    ]
    assert pictures[0] != pictures[1]


def test_other_programs_know_the_fonts_of_a_drawing(tmp_path):
    """Not every one knows the names that stand for a font of this system, such as “Sans Serif”."""
    report = Report("t", "s.py", "words", (Section("A", (Words("<code>in columns</code>"),)),), "")
    tall_page(report).write(tmp_path / "r.svg")
    families = {element.get("font-family") for element in xml.etree.ElementTree.parse(tmp_path / "r.svg").iter()} - {None}
    fonts = {family.rpartition(", ")[2]: family.partition(",")[0].strip("'") for family in families}
    assert set(fonts) == {"sans-serif", "monospace"}
    assert set(fonts.values()) <= set(QFontDatabase.families())


def test_two_processes_write_the_same_bytes(session, tmp_path):
    code = """
import sys
from pathlib import Path
from loaderscope.gui.report.write_report import write_report
write_report(Path(sys.argv[1]), [Path(sys.argv[2] + end) for end in (".html", ".svg", ".png")])
"""
    for seed in ("1", "2"):
        command = [sys.executable, "-c", code, str(session), str(tmp_path / seed)]
        subprocess.run(command, check=True, timeout=60, env={**os.environ, "PYTHONHASHSEED": seed})
    for suffix in (".html", ".svg", ".png"):
        first, second = (tmp_path / f"{seed}{suffix}" for seed in ("1", "2"))
        assert first.read_bytes() == second.read_bytes(), suffix


def test_words_stay_on_the_page_of_the_figure_that_they_are_about():
    def figure(width):
        return Figure("x", lambda painter: None, width, 300)

    report = Report("t", "s.py", "", (Section("A", (Words("apart<br>" * 30), Words("about it"), Picture("c", figure, "told"))),), "")
    pieces = pieces_of(report, WIDTH_PX, 1000.0)
    tall = sum(piece.above + piece.height for piece in pieces[:4]) + 20  # the words would fit, the figure does not
    pages = split_into_pages(pieces, tall)
    assert [len(placed) for placed in pages] == [3, 3]
    assert pages[1][0].piece is pieces[3]


def test_what_stays_together_and_is_higher_than_a_page_goes_over_two():
    pages = split_into_pages([blank(40, stays_with_next=True), blank(40, stays_with_next=True), blank(50)], 100)
    assert [[one.y + one.piece.height for one in placed] for placed in pages] == [[40, 80], [50]]


def test_no_line_ends_between_a_number_and_its_unit():
    assert unbroken("97 % of 3 s, 12.5 MB in 4 min") == "97\u00a0% of 3\u00a0s, 12.5\u00a0MB in 4\u00a0min"
    assert unbroken("4 samples, 3 spawned, in 2 steps") == "4 samples, 3 spawned, in 2 steps"
    report = Report("t", "s.py", "97 % of it", (Section("A", (Words("98 % of it"),)),), "")
    assert "97\u00a0%" in to_html(report) and "98\u00a0%" in to_html(report)


def test_a_recommendation_is_told_once(session):
    with SessionFile.open(session) as opened:
        report = build_report(opened)
        why = judge(opened.run, list(opened.results)).recommendation.why
    text = to_html(report).replace("\u00a0", " ")
    assert text.lower().count(html.escape(why).lower()) == 1


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize(("window", "figure"), [(500, 640), (1100, 960), (1280, 960)])
def test_in_a_browser_nothing_is_wider_than_the_window(session, tmp_path, window, figure):
    """Tables and figures that need more room are scrolled by themselves; figures are as wide as they were painted, or still readable."""
    with SessionFile.open(session) as opened:
        report = build_report(opened)
    titles = tuple(f"column {number}" for number in range(24))
    wide = Section("Wide", (Table(titles, titles, (TableRow(titles),)),))
    measure = """<script>addEventListener("load", () => {
        const sizes = [...document.images].map(image => [image.getBoundingClientRect().width, image.naturalWidth]);
        document.body.innerHTML = JSON.stringify([document.documentElement.scrollWidth <= innerWidth, sizes]);
    });</script>"""
    page = tmp_path / "measured.html"
    page.write_text(to_html(dataclasses.replace(report, sections=(*report.sections, wide))) + measure, "utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={window},900")
    done = subprocess.run([CHROMIUM, *options, "--dump-dom", page.as_uri()], check=True, capture_output=True, text=True, timeout=60)
    fits, sizes = json.loads(re.search(r"<body>(.*)</body>", done.stdout)[1])
    assert fits and len(sizes) >= 4 and all(natural > 0 for _, natural in sizes)
    assert sizes[0][0] == figure


def test_a_page_is_whole_or_not_there(session, tmp_path, monkeypatch):
    target = tmp_path / "r.html"
    target.write_text("what was there before")
    write_text = pathlib.Path.write_text

    def write_half(path, text, **more):
        write_text(path, text[: len(text) // 2], **more)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_text", write_half)
    with pytest.raises(OSError, match="No space left"):
        write_report(session, [target])
    assert target.read_text() == "what was there before" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("sizes", "pictures"), [((52_000_000, 40), 0), ((40_000, 20_000), 1)])
def test_areas_are_drawn_of_what_is_sent_where_there_are_several(sizes, pictures):
    parts = [SentPart("dataset", f"dataset.part{number}", "list", size, 0.1, 0.1, None) for number, size in enumerate(sizes)]
    blocks = startup_blocks(dataclasses.replace(support_session.make_run(), sent=parts), [], None)
    assert sum(isinstance(block, Picture) for block in blocks) == pictures
    assert [len(block.rows) for block in blocks if isinstance(block, Table)] == [2]
