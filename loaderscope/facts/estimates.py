"""A measured value with its interval."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

from loaderscope.agent.ranges import Ascending


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, if known."""

    value: float
    ci95: Annotated[tuple[float, float], Ascending()] | None = None

    @property
    def relative_half_width(self) -> float | None:
        """Half the interval divided by the value; None without an interval."""
        if self.ci95 is None or self.value <= 0 or not math.isfinite(self.value):
            return None
        return (self.ci95[1] - self.ci95[0]) / 2 / self.value
