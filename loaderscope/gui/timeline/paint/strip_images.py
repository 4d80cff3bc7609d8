"""Strips as images: every device pixel of all strips of one height is a number into a table of colours, drawn at once."""

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
    """The images of strips that are alike.

    Attributes:
        places: of the strips in the list that they come from.
        states: what each number stands for.
        above: rows of pixels over each strip, for marks.
        tall: rows of pixels of a strip.
    """

    places: list[int]
    strips: list[Strip]
    states: tuple[int, ...]
    above: int
    tall: int

    @property
    def nothing(self) -> int:
        """The number of what stays as it is."""
        return len(self.states)

    @property
    def hatch(self) -> int:
        """What is added to a number under a line of hatching."""
        return len(self.states) + 1

    @property
    def mark(self) -> int:
        """The number of a mark."""
        return 2 * self.hatch

    @property
    def is_hatched(self) -> npt.NDArray[np.bool_]:
        """For each number, whether it is hatched."""
        return np.array([*(STYLES[state].is_hatched for state in self.states), False])

    def paint(self, canvas: Canvas, numbers: npt.NDArray[np.uint8]) -> None:
        """Paints all strips, (strips, above + tall, columns), over the columns x0 to x1 of a canvas."""
        count, tall, columns = numbers.shape
        fills = [pixel_of(canvas.palette.role(STYLES[state].role)) for state in self.states]
        table = [*fills, 0, *[pixel_of(canvas.palette.waiting_hatch)] * self.hatch, pixel_of(canvas.palette.text)]
        image = indexed_image(numbers.reshape(count * tall, columns), table, canvas.ratio)
        for number, strip in enumerate(self.strips):
            at = QPointF(canvas.left + canvas.x0, (round(strip.y * canvas.ratio) - self.above) / canvas.ratio)
            canvas.painter.drawImage(at, image, QRectF(0, number * tall, columns, tall))


def tall_px(strip: Strip, ratio: float) -> int:
    """Height of a strip in whole device pixels, of which a logical one has `ratio`."""
    return max(round((strip.y + strip.height) * ratio) - round(strip.y * ratio), 1)


def alike(canvas: Canvas, strips: Sequence[Strip], above: int) -> Iterator[Pictures]:
    """Strips by height and states.

    Args:
        canvas: what they are for.
        strips: all of them.
        above: rows of pixels over those strips that are marked.
    """
    groups: dict[tuple[tuple[int, ...], int, bool], list[int]] = {}
    for place, strip in enumerate(strips):
        groups.setdefault((strip.states, tall_px(strip, canvas.ratio), strip.is_marked), []).append(place)
    for (states, tall, is_marked), places in groups.items():
        yield Pictures(places, [strips[place] for place in places], states, above if is_marked else 0, tall)
