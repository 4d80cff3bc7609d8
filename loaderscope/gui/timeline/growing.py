"""An array that grows at the end."""

from __future__ import annotations

import typing

import numpy as np
import numpy.typing as npt

Number = typing.TypeVar("Number", bound=np.generic)


class Growing(typing.Generic[Number]):
    """Values that are only added to; what was taken as `array` stays as it was."""

    def __init__(self, dtype: type[Number], first: npt.ArrayLike = ()) -> None:
        self._data: npt.NDArray[Number] = np.array(first, dtype)
        self._length = len(self._data)

    def append(self, values: npt.NDArray[typing.Any]) -> None:
        """Adds values behind the others."""
        total = self._length + len(values)
        if total > len(self._data):
            grown = np.empty(max(total, len(self._data) * 2, 64), self._data.dtype)
            grown[: self._length] = self._data[: self._length]
            self._data = grown
        self._data[self._length : total] = values
        self._length = total

    @property
    def array(self) -> npt.NDArray[Number]:
        """All values so far; shares memory."""
        return self._data[: self._length]
