"""Runs the script up to an iter() of a DataLoader, and goes on from inside that call.

Nothing is unwound: the script's stack, its models and contexts stay alive below us, and the process is ended from there.
"""

from __future__ import annotations

import _thread
import ast
import os
import sys
from types import FrameType
from typing import Any, Callable, Iterator, List, NamedTuple, NoReturn, Optional, Sequence

from . import guard, made_loaders
from .error_sentences import MAIN_GUARD, AgentError, Place, is_user_file
from .script import AS_MODULE, AS_PROGRAM, Script
from .watched_children import WantedLoader

_FIRST_THREAD = _thread.get_ident()


class Captured(NamedTuple):
    """The iter() at which the script stands still.

    Attributes:
        line: of the script, where it leads here.
        place: the innermost line of the user's code.
        unguarded: the line of a top level, the script's or that of a module that it imports, which leads here outside of a
            main guard.
        child_of: name of the script that started this process; None where it is the agent's own.
    """

    loader: Any
    number: int
    line: Optional[int]
    place: Optional[Place]
    unguarded: Optional[Place]
    child_of: Optional[str] = None


def run_program(script: Script, look: WantedLoader, serve: Callable[[Captured], NoReturn]) -> None:
    """Runs the script as `__main__` up to the first iter() of the wanted DataLoader and calls `serve` there.

    That may be in a forked child. Children that the script leaves behind at its end may still come to it.

    Raises:
        AgentError: the script ended or raised before.
    """
    _watch(script, look, serve)
    wanted = "before it iterated %s" % _which(look.number)
    try:
        script.run(AS_PROGRAM, wanted)
        left = guard.wait_for_idle_children()
    finally:
        made_loaders.on_iteration(None)
    iterated = "none" if not look.passed else "%d in all" % look.passed
    running = "" if not left else "; %d of the processes that it started still ran and had come to none" % left
    raise AgentError("unsupported", "%s ended %s: it iterates %s%s" % (script.name, wanted, iterated, running), script.path)


def run_module(script: Script, look: WantedLoader, serve: Callable[[Captured], NoReturn]) -> None:
    """Runs the script as a module, its main block left out; at a top-level iter() calls `serve` from inside it.

    Raises:
        AgentError: the script raised or ended itself.
    """
    _watch(script, look, serve)
    try:
        script.run(AS_MODULE, "while it was loaded")
    finally:
        made_loaders.on_iteration(None)


def _watch(script: Script, look: WantedLoader, serve: Callable[[Captured], NoReturn]) -> None:
    def reached(loader: Any) -> None:
        if look.is_wanted(loader):
            made_loaders.on_iteration(None)
            serve(here(script, loader, look.number))

    made_loaders.on_iteration(reached)


def place_of_main() -> Optional[Place]:
    """Where the main thread is in the user's code; None where it is not in any."""
    return _place(list(_frames(sys._current_frames().get(_main_thread()))))


def _main_thread() -> int:
    """The thread in which the script runs; in a child that is another than the agent's."""
    threading = sys.modules.get("threading")
    return _FIRST_THREAD if threading is None else threading.main_thread().ident or _FIRST_THREAD


def main_guard_error(script: Script, place: Place, start_method: str) -> AgentError:
    """Why workers of a start method that imports the script anew cannot be used."""
    imported = "" if place.file == script.path else " (%s imports it)" % script.name
    return AgentError(
        MAIN_GUARD,
        '%s, line %d%s, iterates a DataLoader outside of `if __name__ == "__main__":`, so every %s worker would run it again: '
        "put that line below such a guard" % (os.path.basename(place.file), place.line, imported, start_method),
        place.file,
        place.line,
    )


def is_main_guard(node: ast.AST) -> bool:
    """Whether a statement is `if __name__ == "__main__":`, whichever side the name stands on."""
    return isinstance(node, ast.If) and _asks_for_main(node.test, ast.Eq)


def _asks_for_main(test: ast.expr, operator: type) -> bool:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) and operator is ast.Eq:
        return any(_asks_for_main(value, operator) for value in test.values)
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], operator):
        return False
    sides = [test.left, *test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def here(script: Script, loader: Any, number: int) -> Captured:
    """The iter() from which this is called."""
    frames = list(_frames(sys._getframe(1)))
    lines = [frame.f_lineno for frame in frames if frame.f_code.co_filename == script.path]
    place = _place(frames)
    if _thread.get_ident() != _main_thread():  # which line started the thread is not known; where the main thread is now comes close
        frames = list(_frames(sys._current_frames().get(_main_thread())))
    return Captured(loader, number, lines[0] if lines else None, place, _unguarded(script, frames))


def user_files(frame: Optional[FrameType]) -> List[str]:
    """Files of the user's code from a frame outwards, the innermost first."""
    return [frame.f_code.co_filename for frame in _frames(frame) if is_user_file(frame.f_code.co_filename)]


def _place(frames: Sequence[FrameType]) -> Optional[Place]:
    """The innermost line of the user's code."""
    for frame in frames:
        file = frame.f_code.co_filename
        if is_user_file(file):
            return Place(os.path.abspath(file), frame.f_lineno, frame.f_code.co_name)
    return None


def _frames(frame: Optional[FrameType]) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _unguarded(script: Script, frames: Sequence[FrameType]) -> Optional[Place]:
    """The innermost line of a module's top level, if all of the script's lines that lead there stand outside of a main guard."""
    tops = [frame for frame in frames if frame.f_code.co_name == "<module>" and is_user_file(frame.f_code.co_filename)]
    if not any(frame.f_globals is script.namespace for frame in tops):
        return None
    if any(_is_guarded(script.tree, frame.f_lineno) for frame in frames if frame.f_code.co_filename == script.path):
        return None
    return Place(os.path.abspath(tops[0].f_code.co_filename), tops[0].f_lineno, "<module>")


def _is_guarded(tree: ast.Module, line: int) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            only_main = node.body if _asks_for_main(node.test, ast.Eq) else node.orelse if _asks_for_main(node.test, ast.NotEq) else []
            if any(statement.lineno <= line <= (statement.end_lineno or statement.lineno) for statement in only_main):
                return True
    return False


def _which(number: int) -> str:
    return "its first DataLoader" if number == 0 else "DataLoader number %d (counted from 0)" % number
