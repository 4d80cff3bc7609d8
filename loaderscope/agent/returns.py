"""Finds out what a function returns without calling it: from its annotation, else from its return statements."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import types
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

_MAX_DEPTH = 3  # nested calls of the user's own functions to follow


class FeedClasses(NamedTuple):
    """Base classes to recognise; None where torch.utils.data is not loaded."""

    dataset: type
    loader: type


class ReturnedFeed(NamedTuple):
    """`kind` is "dataset" or "loader"."""

    kind: str
    type_name: str


def returned_feed(function: types.FunctionType, feeds: FeedClasses, depth: int = _MAX_DEPTH) -> Optional[ReturnedFeed]:
    """The Dataset or DataLoader that a function returns; None if it returns something else."""
    annotated = _annotation(function)
    if annotated is not None:
        feed = _by_class(annotated, feeds) if isinstance(annotated, type) else None
        if feed is not None or annotated is not Any:
            return feed
    node = _definition(function)
    if node is None or isinstance(node, ast.AsyncFunctionDef) or inspect.isgeneratorfunction(function):
        return None
    local_names = _local_names(node)
    assigned = _assignments(node)
    for statement in _own_nodes(node):
        if isinstance(statement, ast.Return) and statement.value is not None:
            value: ast.expr = statement.value
            if isinstance(value, ast.Name) and value.id in assigned:
                value = assigned[value.id]
            feed = _by_expression(value, function, local_names, feeds, depth)
            if feed is not None:
                return feed
    return None


def _annotation(function: types.FunctionType) -> Any:
    """The class in the annotation of the return value; Any where that names no known class, None where there is none."""
    try:
        annotation = function.__annotations__.get("return")
    except Exception:  # Python 3.14 evaluates the user's expression here
        return Any
    origin = getattr(annotation, "__origin__", None)  # DataLoader[int]
    if isinstance(origin, type):
        return origin
    if isinstance(annotation, str):
        resolved = _resolve(ast.parse(annotation, mode="eval").body, function.__globals__, {}) if _is_expression(annotation) else None
        return resolved if isinstance(resolved, type) else Any
    return annotation if annotation is None or isinstance(annotation, type) else Any


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True


def _by_class(cls: type, feeds: FeedClasses) -> Optional[ReturnedFeed]:
    if issubclass(cls, feeds.loader):
        return ReturnedFeed("loader", cls.__name__)
    if issubclass(cls, feeds.dataset):
        return ReturnedFeed("dataset", cls.__name__)
    return None


def _by_expression(
    value: ast.expr, function: types.FunctionType, local_names: Dict[str, Any], feeds: FeedClasses, depth: int
) -> Optional[ReturnedFeed]:
    if isinstance(value, ast.IfExp):
        return _by_expression(value.body, function, local_names, feeds, depth) or _by_expression(
            value.orelse, function, local_names, feeds, depth
        )
    if isinstance(value, ast.Name):
        value_now = function.__globals__.get(value.id)
        return _by_class(type(value_now), feeds) if value_now is not None else None
    if not isinstance(value, ast.Call):
        return None
    called = _resolve(value.func, function.__globals__, local_names)
    if isinstance(called, type):
        return _by_class(called, feeds)
    if isinstance(called, types.FunctionType):
        return returned_feed(called, feeds, depth - 1) if depth > 0 else None
    if called is None:  # a local import of a module that is not loaded yet: only its name is known
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        if name.endswith("DataLoader"):
            return ReturnedFeed("loader", name)
        if name.endswith("Dataset"):
            return ReturnedFeed("dataset", name)
    return None


def _resolve(node: ast.expr, names: Dict[str, Any], local_names: Dict[str, Any]) -> Any:
    """The object that a dotted name leads to, by look-up only; None if there is none."""
    if isinstance(node, ast.Subscript):
        return _resolve(node.value, names, local_names)
    if isinstance(node, ast.Name):
        return local_names.get(node.id, names.get(node.id))
    if isinstance(node, ast.Attribute):
        owner = _resolve(node.value, names, local_names)
        if isinstance(owner, (types.ModuleType, type)):
            return vars(owner).get(node.attr)
    return None


def _local_names(node: ast.AST) -> Dict[str, Any]:
    """The names that the function's own imports bind; None for modules that are not loaded."""
    names: Dict[str, Any] = {}
    for statement in _own_nodes(node):
        if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            module = sys.modules.get(statement.module)
            for alias in statement.names:
                names[alias.asname or alias.name] = vars(module).get(alias.name) if module is not None else None
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                names[alias.asname or name] = sys.modules.get(name)
    return names


def _assignments(node: ast.AST) -> Dict[str, ast.expr]:
    values: Dict[str, ast.expr] = {}
    for statement in _own_nodes(node):
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = statement.value
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value is not None:
            values[statement.target.id] = statement.value
    return values


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a function in source order, without the nodes of functions and classes inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield child
            yield from _own_nodes(child)


@functools.lru_cache(maxsize=64)
def _parsed(file: str) -> Optional[ast.Module]:
    try:
        with open(file, "rb") as source:
            return ast.parse(source.read(), file)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _definition(function: types.FunctionType) -> Optional[ast.AST]:
    code = function.__code__
    tree = _parsed(code.co_filename)
    if tree is None:
        return None
    candidates: List[ast.AST] = [
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == code.co_name
    ]
    # co_firstlineno is that of the first decorator, where there is one.
    return next((node for node in candidates if _first_line(node) == code.co_firstlineno), None)


def _first_line(node: Any) -> int:
    first: int = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first
