"""Columns as bytes: what a chunk of a session file holds.

Each column becomes differences that fit into few bytes (a start from the one before, an end from its start), the bytes are
sorted by significance, and the whole is compressed at zlib's quickest level. A chunk is

    count of columns u8, then for each: coding u8, width u8, first value i64; then the zlib stream of all columns' bytes

in the order of the columns' names in the model. Reading trusts nothing: sizes are checked before memory is taken.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from loaderscope.session.errors import SessionError

CHUNK_ROWS = 1 << 16
"""Most rows of one chunk."""

Column = npt.NDArray[Any]

_COUNT = struct.Struct("<B")
_COLUMN = struct.Struct("<BBq")
_CONSTANT, _DIFFERENCES, _OFFSETS, _FLOATS = range(4)
_WIDTHS = (1, 2, 4, 8)


def encode(columns: Mapping[str, Column]) -> bytes:
    """The rows of these columns as one chunk.

    Args:
        columns: equal lengths, from 1 to `CHUNK_ROWS`; floats, or integers that fit int64. `end_ns` is coded by `start_ns`.
    """
    heads, bodies = [], []
    for name, column in columns.items():
        if column.dtype.kind == "f":
            heads.append(_COLUMN.pack(_FLOATS, 8, 0))
            bodies.append(_by_significance(column.astype("<f8")))
            continue
        values = column.astype(np.int64)
        if name == "end_ns":
            values = values - columns["start_ns"].astype(np.int64)
        coding, first, coded = _code(values, differences=name in ("start_ns", "time_ns", "batch", "value"))
        heads.append(_COLUMN.pack(coding, coded.dtype.itemsize if coding != _CONSTANT else 0, first))
        if coding != _CONSTANT:
            bodies.append(_by_significance(coded))
    compressor = zlib.compressobj(1)
    packed = [compressor.compress(body) for body in bodies]
    return b"".join([_COUNT.pack(len(heads)), *heads, *packed, compressor.flush()])


def decode(data: bytes, into: Mapping[str, Column]) -> None:
    """Fills arrays with the rows of a chunk.

    Args:
        data: a chunk.
        into: one array for each of its columns, in their order, with as many elements as the chunk is said to have rows.

    Raises:
        SessionError: the chunk does not hold these columns and rows.
    """
    try:
        heads = [_COLUMN.unpack_from(data, _COUNT.size + i * _COLUMN.size) for i in range(_COUNT.unpack_from(data)[0])]
    except struct.error:
        raise SessionError("The session file is damaged: a chunk has no beginning.") from None
    if len(heads) != len(into) or any(not _is_possible(*head) for head in heads):
        raise SessionError("The session file is damaged: a chunk holds other columns than it should.")
    rows = len(next(iter(into.values())))
    body = _decompress(data[_COUNT.size + len(heads) * _COLUMN.size :], rows * sum(width for _, width, _ in heads))
    offset = 0
    for (name, column), (coding, width, first) in zip(into.items(), heads, strict=True):
        _decode_column(column, coding, width, first, body[offset : offset + rows * width])
        if name == "end_ns":
            np.add(column, into["start_ns"], out=column)
        offset += rows * width


def _code(values: npt.NDArray[np.int64], differences: bool) -> tuple[int, int, Column]:
    first = int(values[0])
    offsets = values - first  # may wrap, and wraps back when it is added again
    if not offsets.any():
        return _CONSTANT, first, offsets
    if differences:
        coded = np.empty_like(values)
        coded[0] = 0
        np.subtract(values[1:], values[:-1], out=coded[1:])
        return _DIFFERENCES, first, _narrow(coded)
    return _OFFSETS, first, _narrow(offsets)


def _narrow(values: npt.NDArray[np.int64]) -> Column:
    low, high = int(values.min()), int(values.max())
    for width in _WIDTHS:
        info = np.iinfo(f"i{width}")
        if info.min <= low and high <= info.max:
            return values.astype(f"<i{width}")
    raise AssertionError("int64 holds every int64")


def _by_significance(values: Column) -> bytes:
    """The lowest bytes of all values, then the next ones: high bytes are nearly always equal and then cost nothing."""
    width = values.dtype.itemsize
    return values.view(np.uint8).reshape(-1, width).T.tobytes() if width > 1 else values.tobytes()


def _decode_column(column: Column, coding: int, width: int, first: int, body: memoryview) -> None:
    if coding == _CONSTANT:
        column[:] = np.int64(first).astype(column.dtype)
        return
    planes = np.frombuffer(body, np.uint8).reshape(width, -1)
    coded = np.ascontiguousarray(planes.T).view(f"<{'f' if coding == _FLOATS else 'i'}{width}").ravel()
    if coding == _DIFFERENCES:
        np.copyto(column, coded, casting="unsafe")
        np.cumsum(column, out=column)
        np.add(column, np.int64(first), out=column, casting="unsafe")
    elif coding == _OFFSETS:
        np.add(coded, np.int64(first), out=column, casting="unsafe")
    else:
        np.copyto(column, coded, casting="unsafe")


def _is_possible(coding: int, width: int, first: int) -> bool:
    return coding <= _FLOATS and width in ((0,) if coding == _CONSTANT else (8,) if coding == _FLOATS else _WIDTHS)


def _decompress(data: bytes, size: int) -> memoryview:
    decompressor = zlib.decompressobj()
    try:
        body = decompressor.decompress(data, size + 1)
    except zlib.error:
        raise SessionError("The session file is damaged: a chunk cannot be unpacked.") from None
    if len(body) != size or not decompressor.eof:
        raise SessionError("The session file is damaged: a chunk is not as long as it should be.")
    return memoryview(body)
