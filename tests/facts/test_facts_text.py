"""How every output writes durations, sizes, shares, rates, counts and lists."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaderscope.facts.text import (
    bytes_text,
    cores_text,
    count_text,
    duration_text,
    enumerated,
    mean_count_text,
    rate_text,
    rough_duration_text,
    share_range_text,
    share_text,
    uncertainty_text,
)

UNIT_S = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0.0, "0 s"), (5e-9, "5 ns"), (38.2e-6, "38.2 µs"), (0.0004, "0.4 ms"), (0.00038, "0.38 ms"), (0.0123, "12.3 ms"),
        (0.25, "250 ms"), (1.24, "1.24 s"), (12.4, "12.4 s"), (99.9, "99.9 s"), (130, "2 min 10 s"), (3599.7, "1 h 00 min"),
        (11_100, "3 h 05 min"), (-1.5, "−1.50 s"),
    ],
)  # fmt: skip
def test_a_duration_has_the_precision_of_its_size(seconds, text):
    assert duration_text(seconds) == text


@given(st.floats(1e-9, 1e7))
def test_a_duration_is_told_within_one_per_cent_or_a_minute(seconds):
    parts = re.findall(r"([\d.]+) (\w+|µs)", duration_text(seconds))
    told_s = sum(float(number) * UNIT_S[unit] for number, unit in parts)
    assert told_s == pytest.approx(seconds, rel=0.06 if seconds < 1e-3 else 0.01, abs=1e-9)


def test_a_duration_never_reads_as_nothing():
    assert all(duration_text(10.0**exponent)[0] != "0" or "." in duration_text(10.0**exponent) for exponent in range(-9, 6))


def test_estimates_are_round():
    assert [rough_duration_text(seconds) for seconds in (0.2, 43.4, 131, 590, 4800)] == [
        "1 s",
        "43 s",
        "2 min 10 s",
        "9 min 50 s",
        "1 h 20 min",
    ]


def test_sizes_rates_and_counts():
    assert [bytes_text(count) for count in (None, 0, 588_000, 1.6e6, 412e6, 3.2e9)] == ["–", "0 B", "588 kB", "1.6 MB", "412 MB", "3.2 GB"]
    assert [rate_text(value) for value in (None, 1.254, 12.54, 12_540.4)] == ["–", "1.25", "12.5", "12\u202f540"]
    assert [count_text(1, "trial"), count_text(0, "trial"), count_text(2, "process")] == ["1 trial", "0 trials", "2 processes"]


def test_few_cores_have_two_decimals():
    assert cores_text(1.23, 2) == "1.2 of 2 cores"
    assert cores_text(0.084, 1) == "0.08 of 1 core"


def test_a_range_of_shares_that_read_alike_is_one_share():
    assert (share_range_text(0.256, 0.264), share_range_text(0.26, 0.41), share_text(None)) == ("26 %", "26 % to 41 %", "–")


def test_a_share_reads_as_nothing_or_all_only_where_it_is():
    assert [share_text(value) for value in (0, 0.002, 0.31, 0.998, 1.0)] == ["0 %", "<1 %", "31 %", ">99 %", "100 %"]


def test_a_mean_of_whole_numbers_has_a_decimal_only_where_it_tells_something():
    assert [mean_count_text(value) for value in (None, 0.0, 2.0, 2.46, 150.4, 12_500.0)] == ["–", "0", "2", "2.5", "150", "12\u202f500"]


def test_half_an_interval_reads_as_a_share_as_long_as_it_tells_anything():
    assert [uncertainty_text(share) for share in (None, 0.0, 0.0213, 0.999, 1.0, 40)] == [
        "–",
        "0.0 %",
        "2.1 %",
        "99.9 %",
        "> 99 %",
        "> 99 %",
    ]


def test_lists():
    assert [enumerated(list("abcde"[:count])) for count in (0, 1, 2, 3, 5)] == ["", "a", "a and b", "a, b and c", "a, b, c and 2 more"]
