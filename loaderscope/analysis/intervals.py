"""Means of few values and their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

_T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""97.5 % quantiles of Student's t for 1 to 30 degrees of freedom (any statistics table)."""

_Z_975 = 1.959964


def t_quantile(degrees: int) -> float:
    """Returns the 97.5 % quantile of Student's t; beyond the table from the first term of its expansion (Abramowitz and Stegun 26.7.5)."""
    if degrees < 1:
        raise ValueError("an interval needs at least two values")
    if degrees <= len(_T_975):
        return _T_975[degrees - 1]
    return _Z_975 + (_Z_975**3 + _Z_975) / (4 * degrees)


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def half_width(values: Sequence[float]) -> float:
    """Returns half the 95 % t-interval of the mean of at least two values."""
    centre = mean(values)
    variance = math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
    return t_quantile(len(values) - 1) * math.sqrt(variance / len(values))
