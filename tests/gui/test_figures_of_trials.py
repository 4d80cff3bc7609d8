"""Figures of one trial or of two that are aligned, from the window and from the command line."""

import pytest
import synthetic
from PySide6.QtGui import QColor, QImage
from synthetic import MS

from loaderscope import cli
from loaderscope.facts.run import Mark
from loaderscope.gui.style.figures import FigureError
from loaderscope.gui.style.palette import LIGHT
from loaderscope.gui.timeline.data.arrangement import Arrangement
from loaderscope.gui.timeline.data.row_layout import AXIS_PX, LABEL_PX, MINIMAP_PX, RIGHT_PX, TITLE_PX
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure
from loaderscope.trace.model import Trace

WIDTH = 1000


def make_trace(num_workers):
    return synthetic.make_trace(num_workers=num_workers, batches=40, fetch_ns=40 * MS, step_ns=8 * MS, start_method="spawn")


def zero_line(image, top):
    """The columns of a row of pixels above the first bar that carry the line of the first batch."""
    y = top + 1
    return [x for x in range(LABEL_PX, WIDTH - RIGHT_PX) if image.pixelColor(x, y) == QColor(LIGHT.muted)]


def test_two_trials_are_aligned_to_the_pixel(qapp):
    first, second = make_trace(4), make_trace(0)
    image = timeline_figure(first, title="4 workers", below=(second, "0 workers"), width=WIDTH).image(1.0)
    alone = timeline_figure(first, title="4 workers", width=WIDTH).image(1.0)
    found = zero_line(image, TITLE_PX + AXIS_PX)
    assert len(found) == 1
    # the title of the second one stands where the rows of the first end
    tops = [top for top in range(150, image.height() - 20) if zero_line(image, top) == found]
    assert image.height() - tops[-1] < 40
    assert zero_line(alone, TITLE_PX + MINIMAP_PX + AXIS_PX) == []


def test_the_same_trials_give_the_same_picture(qapp):
    pictures = [timeline_figure(make_trace(2), below=(make_trace(0), "b"), title="a", caption="c", width=WIDTH).image() for _ in range(2)]
    assert pictures[0] == pictures[1]


def test_the_arrangement_of_the_window_holds_for_figures_and_what_is_hidden_is_told(qapp):
    trace = make_trace(4)
    whole = timeline_figure(trace, width=WIDTH).image(1.0)
    collapsed = timeline_figure(trace, width=WIDTH, arrangement=Arrangement().collapse("worker")).image(1.0)
    hidden = timeline_figure(trace, width=WIDTH, arrangement=Arrangement().hide(["worker-1"])).image(1.0)
    assert collapsed.height() < hidden.height() != whole.height()
    with_caption = timeline_figure(trace, caption="1 lane hidden", width=WIDTH).image(1.0)
    assert hidden.copy(0, hidden.height() - 20, WIDTH, 20) == with_caption.copy(0, with_caption.height() - 20, WIDTH, 20)


def test_marks_stand_in_figures_of_their_trial(qapp):
    trace = make_trace(2)
    mark = Mark(trace.origin_ns + 300 * MS, "the slow one")
    plain, marked = (timeline_figure(trace, width=WIDTH, marks=marks).image(1.0) for marks in ((), [(mark,)]))
    flag_y = TITLE_PX + MINIMAP_PX + AXIS_PX - 8
    changed = [x for x in range(LABEL_PX, WIDTH - RIGHT_PX) if plain.pixelColor(x, flag_y) != marked.pixelColor(x, flag_y)]
    assert len(changed) > 40
    assert [x for x in changed if plain.pixelColor(x, 200) != marked.pixelColor(x, 200)] == [changed[0]]


def test_a_trial_without_a_batch_cannot_be_aligned(qapp):
    with pytest.raises(FigureError, match="first batch"):
        timeline_figure(make_trace(1), below=(Trace(), ""))


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_command_line_draws_chosen_trials(qapp, session, tmp_path, suffix):
    output = tmp_path / f"figure.{suffix}"
    assert cli.main(["report", str(session), "-o", str(output), "--trials", "0,2"]) == 0
    assert output.stat().st_size > 5000
    if suffix == "svg":
        text = output.read_text()
        assert ">trial 0 · 0 workers" in text and ">trial 2 · 2 workers" in text
    elif suffix == "png":
        both = QImage(str(output))
        assert cli.main(["report", str(session), "-o", str(output), "--trials", "2", "--force"]) == 0
        assert QImage(str(output)).height() != both.height()


@pytest.mark.parametrize(
    ("trials", "name", "message"),
    [("3", "x.png", "trial 3 has no timeline"), ("9", "x.svg", "trial 9 has no timeline"), ("0,1", "x.html", "must end in .png")],
)
def test_what_cannot_be_drawn_is_one_sentence(qapp, session, tmp_path, capsys, trials, name, message):
    assert cli.main(["report", str(session), "-o", str(tmp_path / name), "--trials", trials]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("trials", ["", "a", "1,2,3", "1,"])
def test_trials_are_numbers(session, tmp_path, capsys, trials):
    with pytest.raises(SystemExit):
        cli.main(["report", str(session), "-o", str(tmp_path / "x.png"), "--trials", trials])
    assert "--trials" in capsys.readouterr().err
