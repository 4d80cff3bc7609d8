"""Chooses the statements of a notebook that a worker must run again to unpickle its dataset: never a loop that trains.

Kept are imports, classes and functions, and the statements that make the values which a worker's code uses. A worker's code are the
classes that can be a dataset, sampler, transform or collate function, and the functions that are passed on as values; what only other
functions use, such as the history that a plot shows, is not made again.
"""

from __future__ import annotations

import ast
import builtins
import dis
import types
from typing import Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

_METHODS_OF_WORKERS = {"__getitem__", "__getitems__", "__iter__", "__next__", "__call__"}
_BASES_OF_WORKERS = ("Dataset", "Sampler", "IterDataPipe", "MapDataPipe")
_CALLS_OF_TRAINING = {"backward", "step", "zero_grad"}
_LOADS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")
_STORES = ("STORE_NAME", "STORE_GLOBAL")
_RUN_AT_ONCE = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<generic parameters of")
"""Names of code that runs where it is defined, though it is a function to the compiler."""
_OPTIMIZED = 0x1  # inspect.CO_OPTIMIZED: the code of a function, not of a class

_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class _Statement(NamedTuple):
    """A statement at the top level of a cell.

    Attributes:
        node: its syntax.
        bound: names that it binds.
        changed: these, and names whose objects it changes.
        used_now: names that it uses when it runs.
        used_later: names that its functions use when they are called.
    """

    node: ast.stmt
    bound: Set[str]
    changed: Set[str]
    used_now: Set[str]
    used_later: Set[str]

    @property
    def used(self) -> Set[str]:
        return self.used_now | self.used_later


def positions_for_workers(trees: Sequence[ast.Module], flags: int) -> List[Tuple[int, ...]]:
    """Returns for each cell the positions of the statements that a worker needs.

    Args:
        trees: the parsed cells in order.
        flags: flags of the compiler.
    """
    by_cell = [[_statement(node, flags) for node in tree.body] for tree in trees]
    statements = [statement for cell in by_cell for statement in cell]
    kept = _kept(statements)
    return [tuple(position for position, statement in enumerate(cell) if id(statement) in kept) for cell in by_cell]


def _kept(statements: Sequence[_Statement]) -> Set[int]:
    """Returns the ids of the statements that a worker needs."""
    imports = [statement for statement in statements if _is_import(statement.node)]
    imported = {name for statement in imports for name in statement.bound}
    trainers = _names_that_train(statements)
    makers: Dict[str, List[_Statement]] = {}
    for statement in statements:
        if isinstance(statement.node, _Definition) or not (_trains_or_awaits(statement.node) or statement.used & trainers):
            for name in statement.bound | (statement.changed - imported):
                makers.setdefault(name, []).append(statement)
    kept = {id(statement) for statement in imports}
    needed = list(_names_of_worker_code(statements))
    seen: Set[str] = set()
    while needed:
        name = needed.pop()
        if name in seen:
            continue
        seen.add(name)
        for statement in makers.get(name, ()):
            kept.add(id(statement))
            needed.extend(statement.used - statement.bound)
    _keep_other_definitions(statements, kept)
    return kept


def _keep_other_definitions(statements: Sequence[_Statement], kept: Set[int]) -> None:
    """Keeps also the classes and functions whose definition needs nothing that is not kept: an object may be of such a class."""
    known = set(dir(builtins)) | {"__name__", "__file__", "display", "get_ipython"}
    for statement in statements:
        if id(statement) not in kept and isinstance(statement.node, _Definition) and statement.used_now <= known:
            kept.add(id(statement))
        if id(statement) in kept:
            known |= statement.bound


def _names_of_worker_code(statements: Sequence[_Statement]) -> Iterator[str]:
    """Yields the names of classes and functions of the notebook that may run in a worker."""
    passed_on = {name for statement in statements for name in _names_not_called(statement.node)}
    of_workers: Set[str] = set()
    for statement in statements:
        node = statement.node
        if isinstance(node, ast.ClassDef):
            methods = {part.name for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))}
            bases = [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases]
            inherits = any(base in of_workers or base.endswith(_BASES_OF_WORKERS) for base in bases)
            if inherits or methods & _METHODS_OF_WORKERS:
                of_workers.add(node.name)
                yield node.name
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in passed_on:
            yield node.name


def _names_not_called(node: ast.AST) -> Iterator[str]:
    """Yields the names that are used in another way than to call them."""
    called = {id(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load) and id(part) not in called:
            yield part.id


def _names_that_train(statements: Sequence[_Statement]) -> Set[str]:
    """Returns the functions and classes of the notebook whose code trains, also through others of them."""
    definitions = [statement for statement in statements if isinstance(statement.node, _Definition)]
    names = {name for statement in definitions if _trains_or_awaits(statement.node) for name in statement.bound}
    while True:
        more = {name for statement in definitions if statement.used & names for name in statement.bound}
        if more <= names:
            return names
        names |= more


def _trains_or_awaits(node: ast.AST) -> bool:
    """Whether code steps an optimizer or computes gradients, or awaits, for which a worker has no event loop."""
    for part in ast.walk(node):
        if isinstance(part, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
            return True
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in _CALLS_OF_TRAINING:
            return True
    return False


def _is_import(node: ast.stmt) -> bool:
    """Whether a statement imports, perhaps in a `try` for a package that may be missing."""
    imports = (ast.Import, ast.ImportFrom)
    return isinstance(node, imports) or (isinstance(node, ast.Try) and any(isinstance(part, imports) for part in node.body))


def _statement(node: ast.stmt, flags: int) -> _Statement:
    code = compile(ast.Module(body=[node], type_ignores=[]), "<cell>", "exec", flags, True)
    used_now, used_later = _used(code)
    bound = {str(one.argval) for one in dis.get_instructions(code) if one.opname in _STORES}
    changed = bound if isinstance(node, _Definition) else bound | set(_changed_objects(node))
    return _Statement(node, bound, changed, used_now, used_later)


def _used(code: types.CodeType) -> Tuple[Set[str], Set[str]]:
    """Returns the global names that code uses when it runs, and those that its functions use later."""
    now = {str(one.argval) for one in dis.get_instructions(code) if one.opname in _LOADS}
    later: Set[str] = set()
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner_now, inner_later = _used(constant)
            runs_at_once = not constant.co_flags & _OPTIMIZED or constant.co_name.startswith(_RUN_AT_ONCE)
            now |= inner_now if runs_at_once else set()
            later |= inner_later if runs_at_once else inner_now | inner_later
    return now, later


def _changed_objects(node: ast.AST) -> Iterator[str]:
    """Yields the names whose objects a statement may change: by an assignment to a part, or by a call of a method without a use."""
    for part in ast.walk(node):
        if isinstance(part, (ast.Subscript, ast.Attribute)) and isinstance(part.ctx, (ast.Store, ast.Del)):
            yield from _root(part)
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call) and isinstance(part.value.func, ast.Attribute):
            yield from _root(part.value.func)


def _root(node: ast.expr) -> Iterator[str]:
    """Yields the name at the begin of `name.part[index]`."""
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
