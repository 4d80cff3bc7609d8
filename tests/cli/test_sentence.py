"""Words and numbers as a terminal shows them."""

from __future__ import annotations

from terminal_text import plain_text

from loaderscope.cli.terminal.sentence import Sentence


def test_a_number_stays_with_its_unit_where_lines_break():
    text = "the main process waits 19 % of the time, 412 MB in all, for 20 s and 3 more"
    lines = {width: plain_text(Sentence(text), width).splitlines() for width in range(24, 60)}
    assert all(" ".join(broken) == text for broken in lines.values())
    starts = {line.split()[0] for broken in lines.values() for line in broken}
    assert "more" in starts  # lines break at every other place
    assert not starts & {"%", "MB", "s"}
