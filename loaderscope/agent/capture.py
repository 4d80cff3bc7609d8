"""Runs the script up to an iter() of a DataLoader, and serves the app from inside that call.

Nothing is unwound: the script's stack, its models and contexts stay alive below us, and we end the process from there. Only a trial
of the training itself lets the script go on, until it has taken enough batches.
"""

from __future__ import annotations

import _thread
import ast
import os
import sys
from types import FrameType
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from . import guard, made_loaders
from .error_sentences import MAIN_GUARD, UNSUPPORTED, AgentError, Place, is_user_file
from .loader_look import Look
from .messages import CapturedLoader
from .met_loaders import MetLoaders
from .script import AS_MODULE, AS_PROGRAM, Script
from .user_frames import callers, innermost_user_place
from .watched_children import LoaderSearch

_FIRST_THREAD = _thread.get_ident()


class Captured(NamedTuple):
    """The iter() at which the script is stopped.

    Attributes:
        loader: the DataLoader.
        number: which of the iterated loaders it is, counted from 0.
        line: the line of the script that leads to this call.
        place: the innermost line of the user's code.
        unguarded: the top-level line, in the script or in a module that it imports, that leads to this call outside of a main
            guard; None where a guard protects it.
        choice: why this loader, and the others that were iterated.
        child_of: name of the script that started this process; None in the agent's own process.
    """

    loader: Any
    number: int
    line: Optional[int]
    place: Optional[Place]
    unguarded: Optional[Place]
    choice: CapturedLoader
    child_of: Optional[str] = None


Serve = Callable[[Captured], None]
"""Serves the app; returns if the script is to go on."""


def run_program(script: Script, search: LoaderSearch, serve: Serve) -> None:
    """Runs the script as `__main__` up to the first iter() of the DataLoader searched for, and calls `serve` there.

    A forked child may be the one that gets there, also one that still runs when the script has ended. If `serve` returns, the script
    goes on to its end.

    Raises:
        AgentError: the script ended before that, or raised.
    """
    was_served = _watch(script, search, serve)
    not_reached = "before it iterated %s" % _loader_words(search.number or 0)
    try:
        script.run(AS_PROGRAM, not_reached)
        if was_served():
            return
        running_count = guard.wait_for_idle_children()
    finally:
        made_loaders.set_iteration_callback(None)
    iterated = "none" if not search.passed_count else "%d in all" % search.passed_count
    running = "" if not running_count else "; %d of the processes that it started still ran and had come to none" % running_count
    raise AgentError(UNSUPPORTED, "%s ended %s: it iterates %s%s" % (script.name, not_reached, iterated, running), script.path)


def run_look(script: Script, look: Look) -> Dict[str, Any]:
    """Runs the script as `__main__` until the look ends inside of it, which does not return, or the script ends.

    Returns:
        The answer of the look, if the script ends first.

    Raises:
        AgentError: the script ended or raised before it iterated a DataLoader.
    """
    look.start()
    not_reached = "before it iterated a DataLoader that it trains with"
    ended = AgentError(UNSUPPORTED, "%s ended before it iterated a DataLoader: it iterates none" % script.name, script.path)
    how = "the script ran to its end"
    try:
        script.run(AS_PROGRAM, not_reached)
        guard.wait_for_idle_children()
    except AgentError as error:
        ended, how = error, error.info.message
    answer = look.end_after_script(how)
    look.stop()
    if answer is None:
        raise ended
    return answer


def run_module(script: Script, search: LoaderSearch, serve: Serve) -> None:
    """Runs the script as a module, without its main block; calls `serve` from inside an iter() at its top level.

    Raises:
        AgentError: the script raised or ended itself.
    """
    _watch(script, search, serve)
    try:
        script.run(AS_MODULE, "while it was loaded")
    finally:
        made_loaders.set_iteration_callback(None)


def _watch(script: Script, search: LoaderSearch, serve: Serve) -> Callable[[], bool]:
    """Serves the app at the iter() searched for; returns a function that says whether that happened."""
    met, was_served = MetLoaders(), False

    def on_iteration(loader: Any) -> None:
        nonlocal was_served
        is_reached = search.matches(loader)
        number = search.passed_count - 1
        met.meet(loader, number)
        if is_reached:
            made_loaders.set_iteration_callback(None)
            was_served = True
            serve(captured_here(script, loader, met.choice(loader)))
            search.forget()

    made_loaders.set_iteration_callback(on_iteration)
    return lambda: was_served


def place_of_main() -> Optional[Place]:
    """Where the main thread is in the user's code; None while it runs none."""
    return innermost_user_place(callers(sys._current_frames().get(_main_thread())))


def _main_thread() -> int:
    """The thread in which the script runs; in a child it differs from the one that loaded the agent."""
    threading = sys.modules.get("threading")
    return _FIRST_THREAD if threading is None else threading.main_thread().ident or _FIRST_THREAD


def main_guard_error(script: Script, place: Place, start_method: str) -> AgentError:
    """The error for a start method whose workers would import a script that has no main guard."""
    imported = "" if place.file == script.path else " (%s imports it)" % script.name
    return AgentError(
        MAIN_GUARD,
        '%s, line %d%s, iterates a DataLoader outside of `if __name__ == "__main__":`, so every %s worker would run it again: '
        "put that line below such a guard" % (os.path.basename(place.file), place.line, imported, start_method),
        place.file,
        place.line,
    )


def is_main_guard(node: ast.AST) -> bool:
    """Whether a statement is `if __name__ == "__main__":`, with the two sides in either order."""
    return isinstance(node, ast.If) and _compares_name_with_main(node.test, ast.Eq)


def _compares_name_with_main(test: ast.expr, operator: type) -> bool:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) and operator is ast.Eq:
        return any(_compares_name_with_main(value, operator) for value in test.values)
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], operator):
        return False
    sides = [test.left, *test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def captured_here(script: Script, loader: Any, choice: CapturedLoader) -> Captured:
    """Describes the iter() that called this function."""
    frames = list(callers(sys._getframe(1)))
    lines = [frame.f_lineno for frame in frames if script.holds(frame.f_code.co_filename)]
    place = innermost_user_place(frames)
    if _thread.get_ident() != _main_thread():  # the line that started the thread is unknown; the main thread's line now comes close
        frames = list(callers(sys._current_frames().get(_main_thread())))
    return Captured(loader, choice.number, lines[0] if lines else None, place, _unguarded(script, frames), choice)


def user_files(frame: Optional[FrameType]) -> List[str]:
    """Files of the user's code among the callers of a frame, the innermost first."""
    return [frame.f_code.co_filename for frame in callers(frame) if is_user_file(frame.f_code.co_filename)]


def _unguarded(script: Script, frames: Sequence[FrameType]) -> Optional[Place]:
    """The innermost top-level line of a module, if no line of the script that leads there is below a main guard.

    None for a notebook, of which workers import the definitions only.
    """
    if script.is_notebook:
        return None
    tops = [frame for frame in frames if frame.f_code.co_name == "<module>" and is_user_file(frame.f_code.co_filename)]
    if not any(frame.f_globals is script.namespace for frame in tops):
        return None
    if any(_is_guarded(script.tree, frame.f_lineno) for frame in frames if frame.f_code.co_filename == script.path):
        return None
    return Place(os.path.abspath(tops[0].f_code.co_filename), tops[0].f_lineno, "<module>")


def _is_guarded(tree: ast.Module, line: int) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            only_main = (
                node.body
                if _compares_name_with_main(node.test, ast.Eq)
                else node.orelse
                if _compares_name_with_main(node.test, ast.NotEq)
                else []
            )
            if any(statement.lineno <= line <= (statement.end_lineno or statement.lineno) for statement in only_main):
                return True
    return False


def _loader_words(number: int) -> str:
    return "its first DataLoader" if number == 0 else "DataLoader number %d (counted from 0)" % number
