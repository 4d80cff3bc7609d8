"""The targets of a script, and the loaders that it iterated, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from loaderscope.agent.messages import CapturedLoader, Target
from loaderscope.cli.terminal.sentence import Sentence
from loaderscope.cli.terminal.table import AlignedTable
from loaderscope.facts.captured import captured_sentence, others_sentences

_TITLES = ("target", "kind", "type", "length", "where", "note")
_NOTE = len(_TITLES) - 1


class TargetsTable:
    """A line for each target. Notes that do not fit beside the targets stand below them."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._rows = [_row(target) for target in targets]
        self._filled = [i for i in range(len(_TITLES)) if any(row[i] for row in self._rows)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self._table(self._filled)
        if _NOTE not in self._filled or table.columns(console) <= options.max_width:
            yield table
            return
        titles, *lines = self._table(self._filled[:-1]).lines(console, options)
        yield from [*titles, Segment.line()]
        for line, row in zip(lines, self._rows, strict=True):
            yield from [*line, Segment.line()]
            if row[_NOTE]:
                yield Sentence(f"    {row[_NOTE]}", indent=4)

    def _table(self, filled: list[int]) -> AlignedTable:
        table = AlignedTable()
        for i in filled:
            table.add_column(_TITLES[i], is_text=True)
        for row in self._rows:
            table.add_row(*(row[i] for i in filled))
        return table


def loaders_section(looked_at: CapturedLoader | None) -> RenderableType:
    """Returns a sentence for each loader that the script iterated, the one that fits best first, and an empty line."""
    if looked_at is None:
        return Sentence("It iterated no DataLoader.")
    best = f"captured:{looked_at.number} is {captured_sentence(looked_at)}."
    others = [f"Also met: {other}." for other in others_sentences(looked_at)]
    return Group(*map(Sentence, [best, *others]), Text())


def _row(target: Target) -> list[str]:
    is_known_loader = target.kind == "captured" and target.dataset_kind is not None
    kind = " ".join(word for word in (target.dataset_kind, "loader" if is_known_loader else target.kind) if word)
    length = f"{target.length} samples" if target.length is not None else ""
    needs = f"needs {', '.join(target.needs)}" if target.needs and target.origin != "class" else ""  # the note of a class names them
    note = "; ".join(text for text in (needs, target.note) if text)
    where = ", ".join(f"{word} {number}" for word, number in (("cell", target.cell), ("line", target.line)) if number is not None)
    return [target.name, kind, target.type_name, length, where, note]
