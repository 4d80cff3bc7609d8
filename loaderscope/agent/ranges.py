"""What values can be, told beside their types: `Annotated[int, Range(0)]` is a count.

Python ignores this. What comes from elsewhere (a session file) is held against it, see `session/values.py`.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, Tuple


class Range(NamedTuple):
    """From the least to the most that a number can be, both included. Of a dataclass: each number in it."""

    least: float = float("-inf")
    most: float = float("inf")


class OneOf(NamedTuple):
    """The words that a text can be."""

    words: Tuple[str, ...]


class Short(NamedTuple):
    """A text of at most so many characters, none of which is NUL."""

    characters: int


class Ascending(NamedTuple):
    """None of some numbers is smaller than the one before it."""


Count = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]
Bytes = Annotated[int, Range(0)]
Seconds = Annotated[float, Range(0.0, 1e10)]
"""A duration: 300 years are more than any."""
Share = Annotated[float, Range(-0.1, 2.0)]
"""0 to 1; two clocks, or the rounding of a sum, may take a measured one a little beyond, and no recording is refused for that."""
TimeNs = Annotated[int, Range(0, 1 << 62)]
"""A moment by `perf_counter_ns`; two of them can be added in 64 bits."""
Name = Annotated[str, Short(1000)]
"""By which a thing is looked up."""
FilePath = Annotated[str, Short(1 << 15)]
