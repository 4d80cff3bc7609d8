"""Reads in the source of a frame how it uses the loader that it iterates: whether it trains with it, or takes one batch only."""

from __future__ import annotations

import ast
import functools
import linecache
from types import FrameType
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Set

TRAINS = "trains"
TAKES_ONE_BATCH = "takes one batch"
TAKES_FEW_BATCHES = "takes few batches"
LOOPS = "loops"
"""Uses of a loader: a loop over it trains, ends within its first batch, ends after a small number of batches, or does none of these."""

REMADE_CLAUSE = "next(iter()) in a loop iterates it anew for each batch"
"""Evidence about a loader, in a clause whose subject is the loader."""

_MOST_FEW = 10
"""A loop that ends after at most this many batches only looks at them."""

_TRAINING_METHODS = ("backward", "step")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign)
_CONSUMERS = {"list", "tuple", "set", "dict", "sorted", "sum", "min", "max", "any", "all"}
"""Builtins that take all batches at once, so that no later statement gets any."""


def use_of_loader(frame: FrameType, passes_on: bool) -> Optional[str]:
    """Returns what the statement that a frame executes does with the loader that it iterates; None if the source does not say.

    Args:
        frame: calls `iter` on the loader, or gets its iterator from such a frame.
        passes_on: whether the frame may hand the batches to its caller: then the rest of its function says nothing, unless the
            statement itself calls `iter` or `next`.
    """
    tree = syntax_tree(frame.f_code.co_filename)
    if tree is None:
        return None
    path = _statements_at(tree, frame.f_lineno)
    if not path:
        return None
    statement = path[-1]
    for node in path[-2:]:  # the body of a loop may stand in the line of its head
        if isinstance(node, (ast.For, ast.AsyncFor)) and frame.f_lineno <= (node.iter.end_lineno or node.lineno):
            if _trains(node.body, tree):
                return TRAINS
            if any(isinstance(part, (ast.Break, ast.Return)) for part in node.body):
                return TAKES_ONE_BATCH
            return TAKES_FEW_BATCHES if _takes_slice([node.iter]) or any(map(_ends_at_small_count, node.body)) else LOOPS
    header = _own_expressions(statement)
    if _trains(header, tree):
        return TRAINS
    scope = next((node for node in reversed(path) if isinstance(node, _FUNCTIONS)), tree)
    loop = next((node for node in reversed(path) if isinstance(node, _LOOPS)), None)
    if loop is not None and isinstance(scope, ast.stmt) and loop not in path[path.index(scope) :]:
        loop = None  # the function is defined within that loop, and runs elsewhere
    calls = _called_names(header)
    if _takes_next_of_iter(header):
        return TRAINS if loop is not None and _trains(loop.body, tree, within_loops=False) else TAKES_ONE_BATCH
    if _takes_slice(header):
        return TAKES_FEW_BATCHES
    keeps_iterator = isinstance(statement, _ASSIGNMENTS) and not passes_on and not calls & _CONSUMERS
    if not keeps_iterator and not calls & {"iter", "next"}:
        return None
    region = loop.body if loop is not None else _scope_body(scope)
    return TRAINS if _trains(region, tree) else None


def remakes_iterator(frame: FrameType) -> bool:
    """Whether a frame executes `next(iter(loader))` again and again: in a loop of its function that is not over after a few rounds."""
    tree = syntax_tree(frame.f_code.co_filename)
    path = [] if tree is None else _statements_at(tree, frame.f_lineno)
    if not path or not _takes_next_of_iter(_own_expressions(path[-1])):
        return False
    functions = [number for number, node in enumerate(path) if isinstance(node, _SCOPES)]
    loops = [node for node in path[functions[-1] + 1 if functions else 0 :] if isinstance(node, _LOOPS) and node is not path[-1]]
    return bool(loops) and not _is_small_range(loops[-1])


def names_of_training_loops(frame: FrameType) -> Set[str]:
    """Returns the names that training `for` loops iterate below the statement of a frame that keeps an iterator (`it = iter(loader)`).

    They stand in the same block, perhaps within other loops.
    """
    tree = syntax_tree(frame.f_code.co_filename)
    path = [] if tree is None else _statements_at(tree, frame.f_lineno)
    if tree is None or not path or not isinstance(path[-1], _ASSIGNMENTS) or "iter" not in _called_names(_own_expressions(path[-1])):
        return set()
    parts = _parts(path[-2]) if len(path) > 1 else list(tree.body)
    below = [node for node in parts if isinstance(node, _LOOPS) and node.lineno > frame.f_lineno]
    loops = [node for loop in below for node in ast.walk(loop) if isinstance(node, (ast.For, ast.AsyncFor))]
    heads = [loop.iter for loop in loops if _trains(loop.body, tree)]
    return {part.id for head in heads for part in ast.walk(head) if isinstance(part, ast.Name)}


def trains(file: str, first_line: int) -> bool:
    """Whether the function that begins in a line of a file calls backward() or step(); False without source."""
    tree = syntax_tree(file)
    if tree is None:
        return False
    scope = next((node for node in reversed(_statements_at(tree, first_line)) if isinstance(node, _FUNCTIONS)), None)
    return scope is not None and _trains(scope.body, tree)


@functools.lru_cache(maxsize=None)
def has_backward(file: str) -> bool:
    """Whether any code of a file calls backward()."""
    tree = syntax_tree(file)
    return tree is not None and any(isinstance(node, ast.Call) and _called_name(node) == "backward" for node in ast.walk(tree))


def returns_value(frame: FrameType) -> bool:
    """Whether a frame executes a `return`: its caller gets what it iterates."""
    tree = syntax_tree(frame.f_code.co_filename)
    path = [] if tree is None else _statements_at(tree, frame.f_lineno)
    return bool(path) and isinstance(path[-1], ast.Return)


@functools.lru_cache(maxsize=None)
def syntax_tree(file: str) -> Optional[ast.Module]:
    """The syntax tree of a file's source; None without source, or if that was changed after Python had read it."""
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _statements_at(tree: ast.Module, line: int) -> List[ast.stmt]:
    """The statements that contain a line, the outermost first; a compound statement is the last if the line is in its head."""
    path: List[ast.stmt] = []
    nodes: Iterable[ast.AST] = tree.body
    while True:
        inner = next((node for node in nodes if _holds(node, line)), None)
        if inner is None:
            return path
        if isinstance(inner, ast.stmt):
            path.append(inner)
        nodes = _parts(inner)


def _holds(node: ast.AST, line: int) -> bool:
    first = min([getattr(node, "lineno", 0), *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
    return (
        bool(first <= line <= (getattr(node, "end_lineno", None) or first)) if first else any(_holds(part, line) for part in _parts(node))
    )


def _parts(node: ast.AST) -> List[ast.AST]:
    """The statements, handlers and cases directly below a node."""
    lists = (getattr(node, name, None) or [] for name in ("body", "orelse", "handlers", "finalbody", "cases"))
    return [part for parts in lists if isinstance(parts, list) for part in parts]


def _own_expressions(statement: ast.stmt) -> List[ast.AST]:
    """The expressions of a statement, without the statements below it."""
    return [node for node in ast.iter_child_nodes(statement) if isinstance(node, (ast.expr, ast.withitem))]


def _scope_body(scope: ast.AST) -> Sequence[ast.AST]:
    body: Sequence[ast.AST] = getattr(scope, "body", [])
    return body


@functools.lru_cache(maxsize=None)
def _functions(tree: ast.Module) -> Dict[str, List[ast.AST]]:
    functions: Dict[str, List[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            functions.setdefault(node.name, []).append(node)
    return functions


def _trains(nodes: Iterable[ast.AST], tree: ast.Module, within_loops: bool = True, seen: Optional[Set[ast.AST]] = None) -> bool:
    """Whether these nodes, or the functions of the same file that they call, call backward() or step()."""
    seen = set() if seen is None else seen
    for call in _calls(nodes, within_loops):
        name = _called_name(call)
        if isinstance(call.func, ast.Attribute) and name in _TRAINING_METHODS:
            return True
        for function in _functions(tree).get(name, ()):
            if function not in seen:
                seen.add(function)
                if _trains(_scope_body(function), tree, seen=seen):
                    return True
    return False


def _calls(nodes: Iterable[ast.AST], within_loops: bool = True) -> Iterator[ast.Call]:
    """The calls within nodes, but not those in functions and classes that they define."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, _SCOPES) or (not within_loops and isinstance(node, _LOOPS)):
            continue
        if isinstance(node, ast.Call):
            yield node
        pending.extend(ast.iter_child_nodes(node))


def _called_name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _called_names(nodes: Iterable[ast.AST]) -> Set[str]:
    return {_called_name(call) for call in _calls(nodes)}


def _takes_next_of_iter(nodes: Iterable[ast.AST]) -> bool:
    return any(
        _called_name(call) == "next"
        and any(isinstance(part, ast.Call) and _called_name(part) in ("iter", "__iter__") for part in call.args)
        for call in _calls(nodes)
    )


def _takes_slice(nodes: Iterable[ast.AST]) -> bool:
    """Whether `itertools.islice` limits these expressions to a small number."""
    return any(_called_name(call) == "islice" and any(map(_is_small_number, call.args[1:])) for call in _calls(nodes))


def _ends_at_small_count(statement: ast.AST) -> bool:
    """Whether a statement of a loop's body is like `if number >= 2: break`."""
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Compare)
        and any(map(_is_small_number, statement.test.comparators))
        and any(isinstance(part, (ast.Break, ast.Return)) for part in statement.body)
    )


def _is_small_range(loop: ast.stmt) -> bool:
    """Whether a loop is like `for number in range(3)`."""
    call = getattr(loop, "iter", None)
    return isinstance(call, ast.Call) and _called_name(call) == "range" and all(map(_is_small_number, call.args))


def _is_small_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and 0 <= node.value <= _MOST_FEW
