"""What the start-up experiment tries as remedies and measures as controls: one row each, in the words of every output."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class RemedyKind:
    """A change of the loader that may save start-up.

    Attributes:
        name: the setting that it changes.
        word: what the window, the report and the terminal call it.
        saving: what the seconds that it saves are those of.
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
"""Titles of what is measured without any loader, by name, in the order in which it is measured."""


def remedy_kind(name: str) -> RemedyKind:
    """The kind of remedy with a name.

    Raises:
        KeyError: there is none.
    """
    return _REMEDIES[name]


def control_title(name: str, modules: Sequence[str]) -> str:
    """What a control did: bare interpreter, or preload torch."""
    return f"preload {', '.join(modules)}" if modules else CONTROLS.get(name, name)


def start_title(start_method: str | None, is_preloaded: bool) -> str:
    """How workers are made: spawn, forkserver, preloaded, or no workers."""
    return (start_method or "no workers") + (", preloaded" if is_preloaded else "")
