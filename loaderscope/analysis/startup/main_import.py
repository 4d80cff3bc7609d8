"""Reads a worker's imports as a tree, and the slow lines of the script's top level."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.span_lookup import SpanLookup
from loaderscope.facts.startup_results import ImportCost, LineCost, StartImport

NS = 1e-9
MOST_IMPORTS = 40

LEAST_PACKAGE_S = 0.005
"""Packages that take less are left out of the imports by start."""


class _Import(NamedTuple):
    name: str
    start_ns: int
    end_ns: int
    ancestors: list[str]  # the imports that contain this one, outermost first

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) * NS


def _imports(look: SpanLookup, lane: str, low_ns: int, high_ns: int) -> Iterator[_Import]:
    """Yields the imports of a lane's process that start in [low_ns, high_ns), outer ones before those that they contain."""
    spans = look(lane, State.IMPORT).starting_in(low_ns, high_ns)
    outer: list[_Import] = []
    for row in np.lexsort((-spans.end_ns, spans.start_ns)).tolist():
        start_ns, end_ns = int(spans.start_ns[row]), int(spans.end_ns[row])
        name = look.trace.names.get(int(spans.value[row]))
        if name is None:
            continue
        while outer and outer[-1].end_ns <= start_ns:
            outer.pop()
        found = _Import(name, start_ns, end_ns, [one.name for one in outer])
        outer.append(found)
        yield found


def read_imports(look: SpanLookup, lane: str, low_ns: int, high_ns: int) -> list[ImportCost]:
    """Returns the modules that a lane's process imported in [low_ns, high_ns), heaviest by own time first.

    Returns:
        at most `MOST_IMPORTS` modules and their ancestors; `first_start_s` counts from `low_ns`.
    """
    found: dict[str, ImportCost] = {}
    unpickling = look(lane, State.UNPICKLE).starting_in(low_ns, high_ns)
    for one in _imports(look, lane, low_ns, high_ns):
        name, seconds = one.name, one.seconds
        parent = one.ancestors[-1] if one.ancestors else None
        known = found.get(name)
        if known is None:
            is_late = bool(unpickling) and one.start_ns >= unpickling.start_ns[0]
            phase = "unpickle" if is_late else "main_import"
            found[name] = ImportCost(name, seconds, seconds, parent, (one.start_ns - low_ns) * NS, phase)
        elif name != parent:  # imported again, after its first import failed or was undone
            found[name] = dataclasses.replace(known, own_s=known.own_s + seconds, total_s=known.total_s + seconds)
        if parent in found and parent != name:
            found[parent] = dataclasses.replace(found[parent], own_s=found[parent].own_s - seconds)
    return _heaviest_with_ancestors(found)


def read_start_imports(look: SpanLookup, lane: str, epoch: int, low_ns: int, high_ns: int) -> list[StartImport]:
    """Returns the packages that a worker imported in [low_ns, high_ns), a range with one start of it, in order."""
    seconds: dict[str, float] = {}
    within: dict[str, str | None] = {}
    for one in _imports(look, lane, low_ns, high_ns):
        packages = [name.partition(".")[0] for name in one.ancestors]
        if one.name.partition(".")[0] not in packages:
            seconds[one.name] = seconds.get(one.name, 0.0) + one.seconds
            within.setdefault(one.name, one.ancestors[packages.index(packages[-1])] if packages else None)
    return [StartImport(epoch, lane, name, took, within[name]) for name, took in seconds.items() if took >= LEAST_PACKAGE_S]


def _heaviest_with_ancestors(found: dict[str, ImportCost]) -> list[ImportCost]:
    ordered = sorted(found.values(), key=lambda cost: -cost.own_s)
    kept: set[str] = set()
    for cost in ordered[:MOST_IMPORTS]:
        name: str | None = cost.name
        while name is not None and name not in kept:
            kept.add(name)
            name = found[name].parent
    return [cost for cost in ordered if cost.name in kept]


def read_lines(look: SpanLookup, lane: str, low_ns: int, high_ns: int) -> list[LineCost]:
    """Returns the slow lines of the script's top level in a lane's process in [low_ns, high_ns), by line number."""
    spans = look(lane, State.LINE, State.LINE_IMPORTS).starting_in(low_ns, high_ns)
    found: dict[tuple[int, str], LineCost] = {}  # cells of a notebook have lines of the same number
    for row in range(spans.size):
        number, _, text = look.trace.names.get(int(spans.value[row]), "").partition(" ")
        if not number.isdecimal():
            continue
        seconds = int(spans.end_ns[row] - spans.start_ns[row]) * NS
        known = found.get((int(number), text), LineCost(int(number), text, 0.0, 0.0))
        import_s = seconds if spans.state[row] == State.LINE_IMPORTS else 0.0
        found[known.line, text] = LineCost(known.line, text, known.seconds + seconds, known.import_s + import_s)
    return [found[key] for key in sorted(found)]


def heaviest_branch(imports: list[ImportCost]) -> list[ImportCost]:
    """Returns the slowest outermost import, then the inner import that takes most of it, and so on."""
    roots = [cost for cost in imports if cost.parent is None]
    branch: list[ImportCost] = []
    while roots:
        branch.append(max(roots, key=lambda cost: cost.total_s))
        inner = [cost for cost in imports if cost.parent == branch[-1].name]
        roots = [cost for cost in inner if cost.total_s > 0.6 * branch[-1].total_s]
    return branch


def heaviest_line(lines: list[LineCost]) -> LineCost | None:
    """Returns the line that takes longest without its imports."""
    return max(lines, key=lambda line: line.seconds - line.import_s, default=None)
