"""The part of the time axis that is visible, and how zooming and panning change it. No Qt."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

LEAST_SPAN_NS = 2_000.0
"""Nothing below 2 µs is recorded that could be told apart."""


@dataclasses.dataclass(frozen=True)
class Viewport:
    """A visible range in nanoseconds since the trace's origin (exact in a double for 104 days)."""

    start: float
    span: float

    @property
    def end(self) -> float:
        return self.start + self.span

    def x_of(self, time: float, width_px: float) -> float:
        """Pixels from the left edge."""
        return (time - self.start) / self.span * width_px

    def time_at(self, x_px: float, width_px: float) -> float:
        """Nanoseconds since the origin."""
        return self.start + x_px / max(width_px, 1.0) * self.span

    def edges_ns(self, columns: int, origin_ns: int) -> npt.NDArray[np.int64]:
        """Edges of `columns` equal columns as absolute int64 times."""
        offsets: npt.NDArray[np.int64] = np.rint(self.start + np.arange(columns + 1) * (self.span / columns)).astype(np.int64)
        offsets += np.int64(origin_ns)
        return offsets

    def zoomed(self, factor: float, at: float) -> Viewport:
        """Spans `factor` times as much, with the moment `at` staying where it is on screen."""
        span = max(self.span * factor, LEAST_SPAN_NS)
        return Viewport(at - (at - self.start) * (span / self.span), span)

    def panned(self, by: float) -> Viewport:
        """The same span, later by `by`."""
        return Viewport(self.start + by, self.span)

    def limited(self, total: float, begin: float = 0.0) -> Viewport:
        """Kept over what lies between two times: no wider than it with a margin, and never off it."""
        total = max(total, begin + LEAST_SPAN_NS)
        widest = fitted(begin, total)
        span = min(max(self.span, LEAST_SPAN_NS), widest.span)
        low, high = min(widest.start, begin - 0.5 * span), max(widest.end, total + 0.5 * span)
        if span >= widest.span:
            return widest
        return Viewport(min(max(self.start, low), high - span), span)


def fitted(start: float, end: float, margin: float = 0.015) -> Viewport:
    """Shows a range with a little room on either side."""
    span = max(end - start, LEAST_SPAN_NS)
    return Viewport(start - span * margin * 0.2, span * (1 + margin * 1.2))


def roomy(total: float) -> Viewport:
    """Shows all of a trial that is still growing, with room for more: in steps, so that not every new record changes the scale."""
    return fitted(0.0, max(_step_up(total), 1e8))


def _step_up(total: float) -> float:
    """The next of 1, 2, 5 times a power of ten that holds a length: few steps, because at each of them all moves and is painted anew."""
    power = 1e8
    while True:
        for factor in (1.0, 2.0, 5.0):
            if total <= power * factor:
                return power * factor
        power *= 10


def whole_px(ratio: float) -> int:
    """The fewest logical pixels that are a whole number of device pixels, of which one has `ratio`; 1 where no few are."""
    return next((step for step in range(1, 9) if step * ratio % 1 == 0), 1)
