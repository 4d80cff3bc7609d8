"""The remedies that the start-up experiment tries and the controls that it measures: one row each, with the words of every output."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class RemedyKind:
    """A change of the loader that may save start-up.

    Attributes:
        name: the setting that it changes.
        word: its name in the window, the report and the terminal.
        saving: the span of time to which its saved seconds refer.
    """

    name: str
    word: str
    saving: str


REMEDIES: tuple[RemedyKind, ...] = (
    RemedyKind("persistent_workers", "persistent", "over all epochs, their ends counted"),
    RemedyKind("forkserver_preload", "preloading", "a start; with server: the first, less what the server's own start takes longer"),
    RemedyKind("start_method", "fork instead", "a start"),
)

_REMEDIES = {remedy.name: remedy for remedy in REMEDIES}

PRELOAD = "preload"
"""Name of the control that starts a fork server which preloads modules, without any loader."""

CONTROLS = {"python": "bare interpreter", "numpy": "import numpy", "torch": "import torch"}
"""Titles of the controls, which are measured without any loader, by name and in order of measurement."""


def remedy_kind(name: str) -> RemedyKind:
    """Returns the kind of remedy with a name.

    Raises:
        KeyError: the name is unknown.
    """
    return _REMEDIES[name]


def control_title(name: str, modules: Sequence[str]) -> str:
    """Returns the title of a control: bare interpreter, or preload torch."""
    return f"preload {', '.join(modules)}" if modules else CONTROLS.get(name, name)


def start_title(start_method: str | None, is_preloaded: bool) -> str:
    """Returns how workers are started, in words: spawn, forkserver, preloaded, or no workers."""
    return (start_method or "no workers") + (", preloaded" if is_preloaded else "")
