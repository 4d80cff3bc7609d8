"""Says what differs between two traces."""

import numpy as np

from loaderscope.trace.model import Trace


def in_order(span):
    return span.lane, span.depth, span.state, span.start_ns


def assert_same_trace(found: Trace, expected: Trace, but: tuple[str, ...] = ()) -> None:
    """Fails with the first thing that differs; columns must be equal to the bit. `but`: attributes left out."""
    for name in ("origin_ns", "newest_ns", "record_count", "names", "notes", "unavailable"):
        if name not in but:
            assert getattr(found, name) == getattr(expected, name), name
    if "open_spans" not in but:
        assert sorted(found.open_spans, key=in_order) == sorted(expected.open_spans, key=in_order)
    if "processes" not in but:
        assert sorted(found.processes, key=repr) == sorted(expected.processes, key=repr)
    assert found.lanes == expected.lanes
    assert sorted(found.tracks) == sorted(expected.tracks)
    for key, columns in expected.tracks.items():
        assert_same_columns(found.tracks[key], columns, str(key))
    assert sorted(found.points) == sorted(expected.points)
    for key, columns in expected.points.items():
        assert_same_columns(found.points[key], columns, key)
    assert sorted(found.series) == sorted(expected.series)
    for key, (info, columns) in expected.series.items():
        assert found.series[key][0] == info
        assert_same_columns(found.series[key][1], columns, key)


def assert_same_columns(found, expected, what: str) -> None:
    assert len(found) == len(expected), what
    for name, column in expected.view().items():
        np.testing.assert_array_equal(found.view()[name], column, err_msg=f"{what} {name}")
