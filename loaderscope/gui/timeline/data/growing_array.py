"""An array that grows at the end."""

from __future__ import annotations

import itertools
import typing

import numpy as np
import numpy.typing as npt

_FACTORS = itertools.cycle((2.0, 1.7, 2.3, 1.85, 2.15, 1.6, 2.4, 1.775, 2.075, 1.925, 2.225, 1.65, 2.35, 1.8, 2.1, 1.95))


def next_growth_factor() -> float:
    """Returns the factor by which a full array grows. It varies: lanes fill up alike, and one frame must not copy them all."""
    return next(_FACTORS)


Number = typing.TypeVar("Number", bound=np.generic)


class GrowingArray(typing.Generic[Number]):
    """An array that only grows at its end; an earlier `array` never changes."""

    def __init__(self, dtype: type[Number], first: npt.ArrayLike = ()) -> None:
        self._data: npt.NDArray[Number] = np.array(first, dtype)
        self._length = len(self._data)
        self._factor = next_growth_factor()

    def append(self, values: npt.NDArray[typing.Any]) -> None:
        """Adds values at the end."""
        total = self._length + len(values)
        if total > len(self._data):
            grown = np.empty(max(total, int(len(self._data) * self._factor), 64), self._data.dtype)
            grown[: self._length] = self._data[: self._length]
            self._data = grown
        self._data[self._length : total] = values
        self._length = total

    @property
    def array(self) -> npt.NDArray[Number]:
        """All values so far; shares memory."""
        return self._data[: self._length]
