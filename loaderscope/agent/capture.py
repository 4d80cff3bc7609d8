"""Runs the script up to an iter() of a DataLoader, and goes on from inside that call.

Nothing is unwound: the script's stack, its models and contexts stay alive below us, and the process is ended from there.
"""

from __future__ import annotations

import ast
import sys
from typing import Any, Callable, NamedTuple, Optional

from . import made_loaders
from .errors import MAIN_GUARD, AgentError
from .script import AS_MODULE, AS_PROGRAM, Script


class Captured(NamedTuple):
    """The iter() at which the script stands still.

    `unguarded_line`: line of the script's top level that leads here, if it stands outside of a main guard.
    """

    loader: Any
    number: int
    line: Optional[int]
    unguarded_line: Optional[int]


def run_program(script: Script, number: int, serve: Callable[[Captured], None]) -> None:
    """Runs the script as `__main__` up to the first iter() of the DataLoader `number` (from 0) and calls `serve` there.

    Raises:
        AgentError: the script ended or raised before.
    """
    counter = made_loaders.IterationCounter()

    def reached(loader: Any) -> None:
        if counter.number_of(loader) == number:
            made_loaders.on_iteration(None)
            serve(_captured(script, loader, number))

    made_loaders.on_iteration(reached)
    wanted = "before it iterated %s" % _which(number)
    try:
        script.run(AS_PROGRAM, wanted)
    finally:
        made_loaders.on_iteration(None)
    raise AgentError(
        "unsupported",
        "%s ended %s: it iterates %s" % (script.name, wanted, "none" if not counter.count else "%d in all" % counter.count),
        script.path,
    )


def run_module(script: Script, serve: Callable[[Captured], None]) -> None:
    """Runs the script as a module, its main block left out; at a top-level iter() calls `serve` from inside it.

    Raises:
        AgentError: the script raised or ended itself.
    """

    def reached(loader: Any) -> None:
        made_loaders.on_iteration(None)
        serve(_captured(script, loader, 0))

    made_loaders.on_iteration(reached)
    try:
        script.run(AS_MODULE, "while it was loaded")
    finally:
        made_loaders.on_iteration(None)


def main_guard_error(script: Script, line: int, start_method: str) -> AgentError:
    """Why workers of a start method that imports the script anew cannot be used."""
    return AgentError(
        MAIN_GUARD,
        '%s, line %d, iterates a DataLoader outside of `if __name__ == "__main__":`, so every %s worker would run it again; '
        "put it below such a guard" % (script.name, line, start_method),
        script.path,
        line,
    )


def is_main_guard(node: ast.stmt) -> bool:
    """Whether a statement is `if __name__ == "__main__":`, whichever side the name stands on."""
    return isinstance(node, ast.If) and _asks_for_main(node.test)


def _asks_for_main(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(_asks_for_main(value) for value in test.values)
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = [test.left, *test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def _captured(script: Script, loader: Any, number: int) -> Captured:
    innermost: Optional[int] = None
    top: Optional[int] = None
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == script.path:
            innermost = innermost or frame.f_lineno
            if frame.f_code.co_name == "<module>" and frame.f_globals is script.namespace:
                top = frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    unguarded = top if top is not None and not _is_guarded(script.tree, top) else None
    return Captured(loader, number, innermost, unguarded)


def _is_guarded(tree: ast.Module, line: int) -> bool:
    for statement in tree.body:
        if statement.lineno <= line <= (statement.end_lineno or statement.lineno):
            return is_main_guard(statement)
    return False


def _which(number: int) -> str:
    return "its first DataLoader" if number == 0 else "DataLoader number %d (counted from 0)" % number
