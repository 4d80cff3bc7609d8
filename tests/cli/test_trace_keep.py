"""The size within which `trace` keeps its session."""

import argparse

import pytest

from loaderscope.cli.commands.trace import size_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 << 30),
        ("500MB", 500_000_000),
        ("1.5G", 1_500_000_000),
        ("64 MiB", 64 << 20),
        ("20000k", 20_000_000),
        ("16000000", 16_000_000),
    ],
)
def test_sizes_are_read_with_their_units(text, size):
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "1MB", "2 GiB more", "1e9", "nan"])
def test_what_is_no_size_or_too_small_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no size of at least"):
        size_bytes(text)
