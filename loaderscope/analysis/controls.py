"""What a start costs without any loader, measured beside the start-up experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from loaderscope.agent.ranges import Seconds, Share

CONTROLS = ("python", "numpy", "torch")
"""A bare interpreter, and one that imports the module."""

PRELOAD = "preload"
"""A fork server that preloads, without any loader."""


@dataclasses.dataclass(frozen=True)
class Control:
    """Seconds from the start of a fresh interpreter to the end of the import.

    Attributes:
        first_s: with the files dropped from the page cache where the system lets a user do so, else as it was.
        again_s: with the files in the page cache; of `PRELOAD`: until the server's first child runs.
        first_from_disk_share: of the bytes that the first run needed, those that came from disk; None where that is not told.
        error: why there is no figure, in one sentence.
        again_cpu_s: processor time of the run with the files in the page cache.
        cache_was_dropped: whether the system took the wish to drop the files.
        modules: what `PRELOAD` imports.
        import_s: by how much its server starts later than one that preloads nothing.
    """

    name: str
    first_s: Seconds | None = None
    again_s: Seconds | None = None
    first_from_disk_share: Share | None = None
    error: str | None = None
    again_cpu_s: Seconds | None = None
    cache_was_dropped: bool = False
    modules: list[str] = dataclasses.field(default_factory=list)
    import_s: float | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Control:
        """The row from plain JSON values; unknown keys are ignored.

        Raises:
            TypeError: the data is no row.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})


def preload_cost_s(controls: Sequence[Control], modules: Sequence[str]) -> float | None:
    """Seconds by which a fork server that preloads starts later while nothing else runs; None where that was not measured."""
    return next((control.import_s for control in controls if control.modules == list(modules)), None)
