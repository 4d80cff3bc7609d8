"""Encodes columns as the bytes of a session file's chunk, and decodes them.

Each column becomes differences that fit into few bytes (a start from the one before, an end from its start). The bytes are
sorted by significance into planes: the lowest byte of every value, then the next ones. Planes that look like noise (the low bytes
of durations) stay raw, because compressing them would take most of the time and gain little; zlib's quickest level compresses
the others. A chunk is

    count of columns u8, then for each: coding u8, width u8, first value i64; a u64 whose bit i says that plane i is raw; the raw
    planes; the zlib stream of the others

in the order of the columns' names in the model. Decoding trusts nothing: it checks sizes before it allocates memory.
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
"""A chunk holds at most this many rows."""

Column = npt.NDArray[Any]
Plane = npt.NDArray[np.uint8]

NOISE_BITS = 7.2
"""Bits of entropy a byte: compression would save less than a tenth of a plane above it."""

_SAMPLE_BYTES = 8192
_COUNT = struct.Struct("<B")
_RAW_MASK = struct.Struct("<Q")
_COLUMN = struct.Struct("<BBq")
_CONSTANT, _DIFFERENCES, _OFFSETS, _FLOATS = range(4)
_WIDTHS = (1, 2, 4, 8)


def encode(columns: Mapping[str, Column]) -> bytes:
    """Returns the rows of some columns as one chunk.

    Args:
        columns: equal lengths, from 1 to `CHUNK_ROWS`; floats, or integers that fit int64. `end_ns` is encoded as
            the difference from `start_ns`.
    """
    heads, planes = [], []
    for name, column in columns.items():
        if column.dtype.kind == "f":
            heads.append(_COLUMN.pack(_FLOATS, 8, 0))
            planes += _byte_planes(column.astype("<f8"))
            continue
        values = column.astype(np.int64)
        if name == "end_ns":
            values = values - columns["start_ns"].astype(np.int64)
        coding, first, coded = _coded_integers(values, differences=name in ("start_ns", "time_ns", "batch", "value", "bucket"))
        heads.append(_COLUMN.pack(coding, coded.dtype.itemsize if coding != _CONSTANT else 0, first))
        if coding != _CONSTANT:
            planes += _byte_planes(coded)
    is_noise = [_entropy_bits(plane) > NOISE_BITS for plane in planes]
    raw = [plane.tobytes() for plane, noise in zip(planes, is_noise, strict=True) if noise]
    packed = zlib.compress(b"".join([plane.tobytes() for plane, noise in zip(planes, is_noise, strict=True) if not noise]), 1)
    mask = sum(1 << i for i, noise in enumerate(is_noise) if noise)
    return b"".join([_COUNT.pack(len(heads)), *heads, _RAW_MASK.pack(mask), *raw, packed])


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
        body_at = _COUNT.size + len(heads) * _COLUMN.size + _RAW_MASK.size
        (mask,) = _RAW_MASK.unpack_from(data, body_at - _RAW_MASK.size)
    except struct.error:
        raise SessionError("The session file is damaged: a chunk has no beginning.") from None
    if len(heads) != len(into) or any(not _is_possible_head(*head) for head in heads):
        raise SessionError("The session file is damaged: a chunk holds other columns than it should.")
    planes = _read_planes(memoryview(data)[body_at:], mask, sum(width for _, width, _ in heads), len(next(iter(into.values()))))
    for (name, column), (coding, width, first) in zip(into.items(), heads, strict=True):
        _decode_column(column, coding, first, planes[:width])
        del planes[:width]
        if name == "end_ns":
            np.add(column, into["start_ns"], out=column)


def _coded_integers(values: npt.NDArray[np.int64], differences: bool) -> tuple[int, int, Column]:
    first = int(values[0])
    offsets = values - first  # may wrap, and wraps back when the first value is added again
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


def _byte_planes(values: Column) -> list[Plane]:
    """Returns the lowest bytes of all values, then the next ones: high bytes are nearly always equal and then compress to nothing."""
    return list(np.ascontiguousarray(values.view(np.uint8).reshape(len(values), -1).T))


def _entropy_bits(plane: Plane) -> float:
    """Returns Shannon's entropy of a sample of the bytes, in bits a byte."""
    sample = plane[:: max(1, len(plane) // _SAMPLE_BYTES)]
    counts = np.bincount(sample, minlength=256)
    counts = counts[counts > 0]
    return float(np.log2(len(sample)) - (counts * np.log2(counts)).sum() / len(sample))


def _read_planes(data: memoryview, mask: int, count: int, rows: int) -> list[Plane]:
    raw = [bool(mask >> i & 1) for i in range(count)]
    raw_bytes = sum(raw) * rows
    if len(data) < raw_bytes or mask >> count:
        raise SessionError("The session file is damaged: a chunk is not as long as it should be.")
    unpacked = _decompress(data[raw_bytes:], (count - sum(raw)) * rows)
    sources = {True: iter(range(0, raw_bytes, rows)), False: iter(range(0, len(unpacked), rows))}
    return [np.frombuffer(data if is_raw else unpacked, np.uint8, rows, next(sources[is_raw])) for is_raw in raw]


def _decode_column(column: Column, coding: int, first: int, planes: list[Plane]) -> None:
    if coding == _CONSTANT:
        column[:] = np.int64(first).astype(column.dtype)
        return
    stacked = np.empty((len(column), len(planes)), np.uint8)
    for i, plane in enumerate(planes):
        stacked[:, i] = plane
    coded = stacked.view(f"<{'f' if coding == _FLOATS else 'i'}{len(planes)}").ravel()
    if coding == _DIFFERENCES:
        np.copyto(column, coded, casting="unsafe")
        column[0] = first
        np.cumsum(column, out=column)
    elif coding == _OFFSETS:
        np.add(coded, np.int64(first), out=column, casting="unsafe")
    else:
        np.copyto(column, coded, casting="unsafe")


def _is_possible_head(coding: int, width: int, first: int) -> bool:
    return coding <= _FLOATS and width in ((0,) if coding == _CONSTANT else (8,) if coding == _FLOATS else _WIDTHS)


def _decompress(data: memoryview, size: int) -> memoryview:
    decompressor = zlib.decompressobj()
    try:
        body = decompressor.decompress(data, size + 1)
    except zlib.error:
        raise SessionError("The session file is damaged: a chunk cannot be unpacked.") from None
    if len(body) != size or not decompressor.eof:
        raise SessionError("The session file is damaged: a chunk is not as long as it should be.")
    return memoryview(body)
