"""What a start costs without any loader, measured beside the start-up experiment."""

from __future__ import annotations

import dataclasses
from typing import Any

CONTROLS = ("python", "numpy", "torch")
"""A bare interpreter, and one that imports the module."""


@dataclasses.dataclass(frozen=True)
class Control:
    """Seconds from the start of a fresh interpreter to the end of the import.

    Attributes:
        first_s: with the files dropped from the page cache where the system lets a user do so, else as it was.
        again_s: with the files in the page cache.
        first_from_disk_share: of the bytes that the first run needed, those that came from disk; None where that is not told.
        error: why there is no figure, in one sentence.
        again_cpu_s: processor time of the run with the files in the page cache.
        cache_was_dropped: whether the system took the wish to drop the files.
    """

    name: str
    first_s: float | None = None
    again_s: float | None = None
    first_from_disk_share: float | None = None
    error: str | None = None
    again_cpu_s: float | None = None
    cache_was_dropped: bool = False

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Control:
        """The row from plain JSON values; unknown keys are ignored.

        Raises:
            TypeError: the data is no row.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})


def import_seconds(controls: list[Control], name: str) -> float | None:
    """Seconds that importing a module takes by itself, its files cached: what is left without the bare interpreter."""
    seconds = {control.name: control.again_s for control in controls}
    whole, bare = seconds.get(name), seconds.get("python")
    return None if whole is None or bare is None else max(0.0, whole - bare)
