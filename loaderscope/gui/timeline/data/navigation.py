"""The visible range of the time axis, its history, and whether it follows a running trial. No Qt."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from loaderscope.gui.timeline.data.viewport import Viewport, fitted, fitted_to_growing

FOLLOW_SPAN_NS = 10e9
"""A view that follows a running trial shows all of it until it is this long, and then its newest part of this length."""

_HISTORY = 100
_SAME_GESTURE_S = 0.7


class Navigator:
    """The viewport and its history. Every move by the user ends following.

    Attributes:
        viewport: the visible range.
        following: whether `follow` moves the view to the newest data.
        bounds: begin and end of the range that several timelines on one axis cover together; None for a single timeline.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.viewport = Viewport(0.0, 1e9)
        self.following = False
        self.bounds: tuple[float, float] | None = None
        self._total = 0.0
        self._follow_span: float | None = None
        self._history: list[Viewport] = []
        self._undone: list[Viewport] = []  # views that `back` left
        self._gesture: tuple[str, float] = ("", 0.0)
        self._clock = clock

    def reset(self, total: float) -> None:
        """Shows all of another trace and forgets the history; `total` is its length in nanoseconds."""
        self._history.clear()
        self._undone.clear()
        self._follow_span = None
        self._total = total
        self.viewport = fitted(0.0, max(total, 1e6))

    def grow(self, total: float, width_px: int = 1000) -> bool:
        """Takes the new length of the trace; returns whether the view moved.

        Follows in whole pixels of a view `width_px` wide, so that the painted picture can move with the view.
        """
        self._total = total
        if not self.following:
            return False
        before = self.viewport
        span = self._follow_span or FOLLOW_SPAN_NS
        if self._follow_span is None and total <= span:
            self.viewport = fitted_to_growing(total)
        else:
            pixel = span / width_px
            behind = total - span * 0.97 - before.start
            start = before.start + math.ceil(behind / pixel) * pixel if before.span == span and 0 <= behind < span else total - span * 0.97
            self.viewport = Viewport(start, span)
        return self.viewport != before

    def follow(self) -> None:
        """Starts to follow the newest data."""
        self.following = True
        self.grow(self._total)

    def pan(self, by: float) -> None:
        self.following = False
        self._move("pan", self.viewport.panned(by))

    def zoom(self, factor: float, at: float) -> None:
        """Zooms and keeps the moment `at` in its place; while following, keeps the newest data in its place."""
        if self.following:
            self._follow_span = min(max(self.viewport.span * factor, 1e5), max(self._total, 1e8) * 1.2)
            self.grow(self._total)
            return
        self._move("zoom", self.viewport.zoomed(factor, at))

    def show(self, start: float, end: float, margin: float = 0.0) -> None:
        """Shows a range, with a margin on either side as a share of it."""
        self.following = False
        extra = (end - start) * margin
        self._move("", Viewport(start - extra, max(end - start + 2 * extra, 1.0)))

    def fit_all(self) -> None:
        self.following = False
        self._move("", fitted(*(self.bounds or (0.0, max(self._total, 1e6)))))

    def match(self, viewport: Viewport) -> None:
        """Shows what another timeline on the same axis shows."""
        self.following = False
        self._move("match", viewport)

    def centre(self, time: float) -> None:
        """Pans so that a moment is in the middle."""
        self.pan(time - (self.viewport.start + self.viewport.span / 2))

    def reveal(self, start: float, end: float) -> None:
        """Pans only if a range is not wholly visible."""
        view = self.viewport
        if start < view.start or end > view.end:
            self.centre((start + end) / 2 if end - start < view.span else start + view.span * 0.45)

    def back(self) -> bool:
        """Shows the view before this one; returns whether there was one."""
        return self._exchange(self._history, self._undone)

    def forward(self) -> bool:
        """Shows the view that `back` left; returns whether there was one."""
        return self._exchange(self._undone, self._history)

    def _exchange(self, source: list[Viewport], target: list[Viewport]) -> bool:
        if not source:
            return False
        self.following = False
        self._gesture = ("", 0.0)
        target.append(self.viewport)
        self.viewport = source.pop()
        return True

    def _move(self, gesture: str, target: Viewport) -> None:
        """Shows another view. A whole gesture, such as several turns of the wheel, makes one entry of the history."""
        begin, end = self.bounds or (0.0, self._total)
        target = target.limited(end, begin)
        if target == self.viewport:
            return
        now = self._clock()
        name, at = self._gesture
        if not gesture or gesture != name or now - at > _SAME_GESTURE_S:
            self._history.append(self.viewport)
            del self._history[:-_HISTORY]
            self._undone.clear()
        self._gesture = (gesture, now)
        self.viewport = target
