"""The part of the time axis that is visible, and how zooming and panning change it. No Qt."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

LEAST_SPAN_NS = 2_000.0
"""Shortest visible range: below 2 µs, records show no difference."""


@dataclasses.dataclass(frozen=True)
class Viewport:
    """A visible range: its start and length, in nanoseconds since the trace's origin (exact in a double for 104 days)."""

    start: float
    span: float

    @property
    def end(self) -> float:
        return self.start + self.span

    def x_of(self, time: float, width_px: float) -> float:
        """Returns the distance of a time from the left edge, pixels."""
        return (time - self.start) / self.span * width_px

    def time_at(self, x_px: float, width_px: float) -> float:
        """Returns the time at a distance from the left edge, nanoseconds since the origin."""
        return self.start + x_px / max(width_px, 1.0) * self.span

    def edges_ns(self, columns: int, origin_ns: int) -> npt.NDArray[np.int64]:
        """Returns the edges of `columns` equal columns as absolute int64 times."""
        offsets: npt.NDArray[np.int64] = np.rint(self.start + np.arange(columns + 1) * (self.span / columns)).astype(np.int64)
        offsets += np.int64(origin_ns)
        return offsets

    def zoomed(self, factor: float, at: float) -> Viewport:
        """Returns a range `factor` times as long that keeps the moment `at` in its place on screen."""
        span = max(self.span * factor, LEAST_SPAN_NS)
        return Viewport(at - (at - self.start) * (span / self.span), span)

    def panned(self, by: float) -> Viewport:
        """Returns a range of the same length, later by `by` nanoseconds."""
        return Viewport(self.start + by, self.span)

    def limited(self, total: float, begin: float = 0.0) -> Viewport:
        """Returns the nearest range that shows a part of [begin, total] and is no longer than all of it with a margin."""
        total = max(total, begin + LEAST_SPAN_NS)
        widest = fitted(begin, total)
        span = min(max(self.span, LEAST_SPAN_NS), widest.span)
        low, high = min(widest.start, begin - 0.5 * span), max(widest.end, total + 0.5 * span)
        if span >= widest.span:
            return widest
        return Viewport(min(max(self.start, low), high - span), span)


def fitted(start: float, end: float, margin: float = 0.015) -> Viewport:
    """Returns a viewport for a range with a little room on either side."""
    span = max(end - start, LEAST_SPAN_NS)
    return Viewport(start - span * margin * 0.2, span * (1 + margin * 1.2))


def fitted_to_growing(total: float) -> Viewport:
    """Returns a viewport for all of a growing trial, with room for more. It grows in steps, so that few new records change the scale."""
    return fitted(0.0, max(_next_round_length(total), 1e8))


def _next_round_length(total: float) -> float:
    """Returns the next of 1, 2, 5 times a power of ten. These are few steps, and each step makes the timeline repaint everything."""
    power = 1e8
    while True:
        for factor in (1.0, 2.0, 5.0):
            if total <= power * factor:
                return power * factor
        power *= 10


def least_whole_px(ratio: float) -> int:
    """Returns the fewest logical pixels that are a whole number of device pixels (`ratio` per logical pixel); 1 if more than 8 would be."""
    return next((step for step in range(1, 9) if step * ratio % 1 == 0), 1)
