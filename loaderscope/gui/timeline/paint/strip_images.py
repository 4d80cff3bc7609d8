"""Strips as images: each device pixel is a number in a table of colours, in one image for all strips that are alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF

from loaderscope.gui.timeline.data.state_styles import STYLES
from loaderscope.gui.timeline.data.strips import Strip
from loaderscope.gui.timeline.paint.canvas import Canvas, indexed_image, pixel_of


@dataclasses.dataclass
class Pictures:
    """The images of strips that are alike: of one height and with the same states.

    Attributes:
        places: positions of the strips in the list of all strips.
        strips: these strips.
        states: the state of each number.
        above: rows of pixels above each strip, for notches.
        tall: rows of pixels of a strip.
    """

    places: list[int]
    strips: list[Strip]
    states: tuple[int, ...]
    above: int
    tall: int

    @property
    def nothing(self) -> int:
        """The number of a transparent pixel."""
        return len(self.states)

    @property
    def hatch(self) -> int:
        """Added to the number of a pixel on a line of hatching."""
        return len(self.states) + 1

    @property
    def mark(self) -> int:
        """The number of a pixel of a notch."""
        return 2 * self.hatch

    @property
    def is_hatched(self) -> npt.NDArray[np.bool_]:
        """For each number, whether its state is hatched."""
        return np.array([*(STYLES[state].is_hatched for state in self.states), False])

    def paint(self, canvas: Canvas, numbers: npt.NDArray[np.uint8]) -> None:
        """Paints all strips over the columns x0 to x1 of a canvas; `numbers` is (strips, above + tall, columns)."""
        count, tall, columns = numbers.shape
        fills = [pixel_of(canvas.palette.role(STYLES[state].role)) for state in self.states]
        table = [*fills, 0, *[pixel_of(canvas.palette.waiting_hatch)] * self.hatch, pixel_of(canvas.palette.text)]
        image = indexed_image(numbers.reshape(count * tall, columns), table, canvas.ratio)
        for number, strip in enumerate(self.strips):
            at = QPointF(canvas.left + canvas.x0, (round(strip.y * canvas.ratio) - self.above) / canvas.ratio)
            canvas.painter.drawImage(at, image, QRectF(0, number * tall, columns, tall))


def strip_height_px(strip: Strip, ratio: float) -> int:
    """Returns the height of a strip in whole device pixels, `ratio` per logical pixel."""
    return max(round((strip.y + strip.height) * ratio) - round(strip.y * ratio), 1)


def group_alike(canvas: Canvas, strips: Sequence[Strip], above: int) -> Iterator[Pictures]:
    """Groups strips by height, states and whether they are marked.

    Args:
        canvas: the canvas to paint on.
        strips: all strips.
        above: rows of pixels above marked strips.
    """
    groups: dict[tuple[tuple[int, ...], int, bool], list[int]] = {}
    for place, strip in enumerate(strips):
        groups.setdefault((strip.states, strip_height_px(strip, canvas.ratio), strip.is_marked), []).append(place)
    for (states, tall, is_marked), places in groups.items():
        yield Pictures(places, [strips[place] for place in places], states, above if is_marked else 0, tall)
