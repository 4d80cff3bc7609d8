"""The script's imports, and which of them a fork server finds and can preload."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from loaderscope.facts.request import Request
from loaderscope.facts.text import enumerated

ALWAYS_IMPORTED = "torch"
"""Every script with a loader imports it, and it is heavier than most modules."""

SERVER_KNOWS_PATH_SINCE = (3, 13, 8)
"""Older fork servers look for modules in their working directory and among installed packages, not beside the script."""

HEAVY_IMPORT_S = 0.05
"""A module that takes less is not worth preloading."""


class ScriptImport(NamedTuple):
    """A top-level module that the script imported when it was loaded.

    Attributes:
        name: of the module.
        seconds: of its import, with all that it imports.
        within: the listed module that imported it first; None if the script itself did.
        beside_script: whether it lies in the script's folder, where no other program would find it.
    """

    name: str
    seconds: float
    within: str | None = None
    beside_script: bool = False


def import_seconds(imports: Sequence[ScriptImport], preloaded: Sequence[str] = ()) -> float:
    """Returns the seconds of imports, each counted once, without preloaded modules and all that these import."""
    by_name = {one.name: one for one in imports}
    inner = {one.name: sum(other.seconds for other in imports if other.within == one.name) for one in imports}

    def is_preloaded(one: ScriptImport) -> bool:
        above: ScriptImport | None = one
        while above is not None and above.name not in preloaded:
            above = by_name.get(above.within or "")
        return above is not None

    return sum(max(0.0, one.seconds - inner[one.name]) for one in imports if not is_preloaded(one))


@dataclasses.dataclass(frozen=True)
class ForkServer:
    """Where the fork server of a script looks for modules, besides installed packages.

    Attributes:
        script: path of the script.
        cwd: the working directory; None for the caller's.
        python: version of the interpreter; None if unknown, and then treated as an old one.
        beside_script: modules that lie only in the script's folder.
    """

    script: str
    cwd: str | None = None
    python: str | None = None
    beside_script: frozenset[str] = frozenset()

    @property
    def script_folder(self) -> str:
        return os.path.dirname(os.path.realpath(self.script))

    @property
    def search_folder(self) -> str:
        """The only folder in which the server looks, besides installed packages."""
        version = tuple(int(part) for part in (self.python or "").split(".")[:3] if part.isdecimal())
        return self.script_folder if version >= SERVER_KNOWS_PATH_SINCE else os.path.abspath(self.cwd or os.curdir)

    def finds(self, module: str) -> bool:
        """Whether the server finds a module, so that preloading it has an effect."""
        return module not in self.beside_script or os.path.realpath(self.search_folder) == os.path.realpath(self.script_folder)

    def why_not(self, modules: Iterable[str]) -> str | None:
        """Returns a sentence on why the server does not find some modules and what helps; None if it finds them all."""
        missed = [name for name in modules if not self.finds(name)]
        if not missed:
            return None
        version = ".".join(map(str, SERVER_KNOWS_PATH_SINCE))
        return (
            f"Before Python {version} a fork server does not find {enumerated(missed)} beside the script when it is started in another "
            f"folder: start in {self.script_folder}, or name that folder in PYTHONPATH."
        )


def script_imports_of(environment: dict[str, Any]) -> tuple[ScriptImport, ...]:
    """Returns the modules that the script imported when it was loaded; empty if that was not timed."""
    rows = environment.get("script_imports") or ()
    return tuple(ScriptImport(row["name"], row["seconds"], row.get("within"), bool(row.get("beside_script"))) for row in rows)


def fork_server(request: Request, script_imports: Sequence[ScriptImport], python: str | None) -> ForkServer:
    """Returns where the fork server of a run looks for modules.

    Args:
        request: names the script and the working directory.
        script_imports: modules that the script imported when it was loaded.
        python: version of the interpreter.
    """
    return ForkServer(request.script, request.cwd, python, frozenset(one.name for one in script_imports if one.beside_script))


def heavy_modules(request: Request, script_imports: Sequence[ScriptImport], python: str | None) -> tuple[str, ...]:
    """Returns the modules worth preloading: the user's choice, else the heavy imports of the script that a server finds."""
    if request.forkserver_preload:
        return request.forkserver_preload
    server = fork_server(request, script_imports, python)
    heavy = tuple(one.name for one in script_imports if one.seconds >= HEAVY_IMPORT_S and server.finds(one.name))
    return heavy or (ALWAYS_IMPORTED,)


def imports_left_to_workers(request: Request, script_imports: Sequence[ScriptImport], python: str | None) -> str | None:
    """Returns a sentence on heavy modules that workers still import, because the server does not find them; None without any."""
    server, chosen = fork_server(request, script_imports, python), request.forkserver_preload
    heavy = [one.name for one in script_imports if one.seconds >= HEAVY_IMPORT_S and (not chosen or one.name in chosen)]
    why = server.why_not(heavy)
    missed = enumerated([name for name in heavy if not server.finds(name)])
    return None if why is None else f"Preloaded workers still import {missed} themselves. {why}"
