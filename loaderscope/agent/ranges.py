"""Limits of values, written beside their types: `Annotated[int, Range(0)]` is a count.

Python ignores them. `session/values.py` checks values of session files against them.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, Tuple


class Range(NamedTuple):
    """The least and the greatest value of a number, both included; at a dataclass: of each number in it."""

    least: float = float("-inf")
    most: float = float("inf")


class OneOf(NamedTuple):
    """The only values that a text can have."""

    words: Tuple[str, ...]


class Short(NamedTuple):
    """A text of at most `characters` characters, none of which is NUL."""

    characters: int


class Ascending(NamedTuple):
    """No number of a list is smaller than the one before it."""


Count = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]
Bytes = Annotated[int, Range(0)]
Seconds = Annotated[float, Range(0.0, 1e10)]
"""A duration; none is longer than 300 years."""
Share = Annotated[float, Range(-0.1, 2.0)]
"""0 to 1; two clocks, or the rounding of a sum, may move a measured share a little beyond, and that makes no recording invalid."""
TimeNs = Annotated[int, Range(0, 1 << 62)]
"""A moment by `perf_counter_ns`; two of them can be added in 64 bits."""
Name = Annotated[str, Short(1000)]
"""A key by which something is looked up."""
FilePath = Annotated[str, Short(1 << 15)]
