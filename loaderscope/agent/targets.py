"""Finds the targets in the script (objects that can feed a loader), and makes the chosen one's Dataset or DataLoader."""

from __future__ import annotations

import ast
import collections.abc
import enum
import inspect
import os
import sys
import types
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from . import arguments, loaders
from .capture import Captured, is_main_guard
from .error_sentences import UNSUPPORTED, AgentError, is_user_file
from .messages import Target
from .notebook_shell import cell_number
from .returns import FeedClasses, returned_feed
from .script import Script


class _Place(NamedTuple):
    """A line of the script, and of a notebook the cell in which it counts."""

    line: Optional[int]
    cell: Optional[int]


_NOWHERE = _Place(None, None)
CAPTURED_PREFIX = "captured:"
_NOT_TARGETS = ("train_step", "make_train_step", "collate_fn", "worker_init_fn")


def torch_feed_classes() -> FeedClasses:
    """Torch's base classes of datasets and loaders.

    Raises:
        AgentError: this interpreter has no torch, or it cannot be imported.
    """
    try:
        from torch.utils.data import DataLoader, Dataset
    except ImportError as error:
        raise AgentError(UNSUPPORTED, "this interpreter cannot import torch: %s" % error) from error
    return FeedClasses(Dataset, DataLoader)


def discover(script: Script, captured: Optional[Captured]) -> List[Target]:
    """Returns the targets of a script, the likeliest first; calls none of the script's functions.

    Args:
        script: a script that is loaded, or stopped inside an iter().
        captured: that iter(); None for a loaded script.
    """
    uses_torch = "torch" in sys.modules
    feeds = torch_feed_classes()
    discovered: List[Target] = []
    if captured is not None:
        discovered.append(captured_target(captured))
    named = _public_names(script)
    places = _definition_places(script)
    for kind in ("loader", "dataset"):
        for name, value in named:
            if _kind_of(value, feeds, script) == kind:
                discovered.append(object_target(name, value, kind, *places.get(name, _NOWHERE)))
        for name, value in named:
            if isinstance(value, types.FunctionType) and is_user_file(value.__code__.co_filename) and not arguments.required_names(value):
                feed = returned_feed(value, feeds)
                if feed is not None and feed.kind == kind:
                    code = value.__code__
                    line, cell = code.co_firstlineno, cell_number(code.co_filename)
                    discovered.append(Target(name, kind, feed.type_name, "function", line=line, cell=cell))
    if captured is None:
        hint = _captured_hint(script.tree)
        if hint is not None:
            discovered.append(hint)
    discovered.extend(_class_targets(named, feeds, script, {target.type_name for target in discovered}, places))
    if captured is None and uses_torch and _is_undecided(discovered) and _main_block_calls(script.tree):
        note = "runs the script up to its first iteration of a DataLoader (none is seen in its source)"
        discovered.append(Target(CAPTURED_PREFIX + "0", "captured", "DataLoader", "captured", note=note))
    return discovered


def _is_undecided(targets: List[Target]) -> bool:
    """Whether none of the targets can be used as it is, or only a run of the script shows which of several loaders it uses."""
    usable = [target for target in targets if not target.needs]
    return not usable or (all(target.kind != "captured" for target in usable) and sum(target.kind == "loader" for target in usable) > 1)


def _main_block_calls(tree: ast.Module) -> bool:
    """Whether the script has a main block that calls anything and does not only raise."""
    guards = [statement for statement in tree.body if isinstance(statement, ast.If) and is_main_guard(statement)]
    statements = [part for guard in guards for part in guard.body if not isinstance(part, ast.Raise)]
    return any(isinstance(node, ast.Call) for statement in statements for node in ast.walk(statement))


def _public_names(script: Script) -> List[Tuple[str, Any]]:
    """The script's public names, each object under the first of its names only."""
    seen: Dict[int, str] = {}
    named = []
    for name, value in script.namespace.items():
        if not name.startswith("_") and name not in _NOT_TARGETS and seen.setdefault(id(value), name) == name:
            named.append((name, value))
    return named


def captured_target(captured: Captured) -> Target:
    """The target for the loader at whose iter() the script is stopped."""
    loader = captured.loader
    return Target(
        "%s%d" % (CAPTURED_PREFIX, captured.number),
        "captured",
        type(loader).__name__,
        "captured",
        dataset_kind=loaders.dataset_kind(loader.dataset),
        length=loaders.length_of(loader),
        current=loaders.current_config(loader),
        line=captured.line,
        cell=None if captured.place is None else cell_number(captured.place.file),
        note=place_note(captured),
        captured=captured.choice,
    )


def place_note(captured: Captured) -> str:
    """Sentences for a loader that is iterated in a child of the script, or outside of a main guard; else empty."""
    return " ".join(filter(None, (_in_child(captured), _unguarded(captured))))


def _in_child(captured: Captured) -> str:
    if captured.child_of is None:
        return ""
    place = captured.place
    where = "" if place is None else " (%s:%d)" % (os.path.basename(place.file), place.line)
    return "%s iterates it in a process that it starts%s: the trials run in that process." % (captured.child_of, where)


def _unguarded(captured: Captured) -> str:
    if captured.unguarded is None:
        return ""
    return (
        '%s, line %d, iterates a DataLoader outside of `if __name__ == "__main__":`; the script stands still there: '
        "what follows is not seen, and workers that import the script again (spawn, forkserver) cannot be tried"
        % (os.path.basename(captured.unguarded.file), captured.unguarded.line)
    )


def resolve(script: Script, captured: Optional[Captured], name: str, argument_texts: Mapping[str, str]) -> Any:
    """Returns the Dataset or DataLoader of a target.

    Args:
        script: the loaded script.
        captured: the iter() at which it is stopped, if it is.
        name: the target's name; dotted names lead into modules and objects.
        argument_texts: the user's arguments as texts, by name.

    Raises:
        AgentError: there is no such target, or it makes neither a Dataset nor a DataLoader.
    """
    feeds = torch_feed_classes()
    if name.startswith(CAPTURED_PREFIX):
        if captured is None or name != "%s%d" % (CAPTURED_PREFIX, captured.number):
            raise AgentError(UNSUPPORTED, "%s was not reached; the script must be loaded for it" % name)
        return captured.loader
    value = _look_up(script, name)
    if isinstance(value, types.ModuleType):
        raise AgentError(UNSUPPORTED, "%s is a module, not a Dataset, DataLoader or function" % name, script.path)
    if isinstance(value, type) or (callable(value) and _kind_of(value, feeds, script) is None):
        made = arguments.call_with_texts(value, argument_texts, name)
        what = "%s() gives" % name
    else:
        if argument_texts:
            raise AgentError(UNSUPPORTED, "%s is an object and takes no arguments (%s)" % (name, ", ".join(argument_texts)))
        made, what = value, "%s is" % name
    if _kind_of(made, feeds, script) is None and not _is_dataset_like(made):
        article = "a %s" % type(made).__name__
        raise AgentError(UNSUPPORTED, "%s %s, which is neither a Dataset nor a DataLoader" % (what, article), script.path)
    return made


def _look_up(script: Script, name: str) -> Any:
    first, *rest = name.split(".")
    if first not in script.namespace:
        raise AgentError(UNSUPPORTED, "%s has no target %s" % (script.name, name), script.path)
    value = script.namespace[first]
    for attribute in rest:
        try:
            value = getattr(value, attribute)
        except AttributeError:
            raise AgentError(UNSUPPORTED, "%s has no target %s" % (script.name, name), script.path) from None
    return value


def _kind_of(value: Any, feeds: FeedClasses, script: Script) -> Optional[str]:
    try:
        if isinstance(value, type):
            return None
        if isinstance(value, feeds.loader):
            return "loader"
        if isinstance(value, feeds.dataset):
            return "dataset"
        return "dataset" if _is_dataset_like(value) and _is_meant_as_dataset(type(value), script) else None
    except Exception:  # a proxy object that raises when its type is checked is no target
        return None


def _is_dataset_like(value: Any) -> bool:
    """Whether an object could be a map-style dataset; containers are data, not datasets."""
    cls = type(value)
    if isinstance(value, (str, bytes, bytearray, memoryview, list, tuple, range, collections.abc.Mapping, types.ModuleType, enum.Enum)):
        return False
    return hasattr(cls, "__getitem__") and hasattr(cls, "__len__")


def _is_meant_as_dataset(cls: type, script: Script) -> bool:
    """Whether a class is a dataset: by its name, or because it and all its bases are the user's own, no container or model."""
    bases = cls.__mro__[:-1]
    if any(base.__name__.endswith("Dataset") for base in bases):
        return True
    return all(_is_user_class(base, script) for base in bases if base.__module__ not in ("typing", "abc"))


def _is_user_class(cls: type, script: Script) -> bool:
    if script.module is not None and cls.__module__ == script.module.__name__:
        return True
    try:
        return is_user_file(inspect.getfile(cls))
    except (TypeError, OSError):
        return False


def object_target(
    name: str, value: Any, kind: str, line: Optional[int] = None, cell: Optional[int] = None, *, origin: str = "variable"
) -> Target:
    """The target for an existing Dataset or DataLoader."""
    if kind == "loader":
        dataset = value.dataset
        current = loaders.current_config(value)
    else:
        dataset, current = value, None
    return Target(
        name,
        kind,
        type(value).__name__,
        origin,
        dataset_kind=loaders.dataset_kind(dataset),
        length=loaders.length_of(value),
        current=current,
        line=line,
        cell=cell,
    )


def _class_targets(named: List[Any], feeds: FeedClasses, script: Script, type_names: Any, places: Dict[str, _Place]) -> Iterator[Target]:
    """Targets for the script's dataset classes that no earlier target is an object of and no other of its classes derives from."""
    own = [
        (name, value)
        for name, value in named
        if isinstance(value, type)
        and script.module is not None
        and value.__module__ == script.module.__name__
        and issubclass(value, feeds.dataset)
        and not inspect.isabstract(value)
    ]
    for name, cls in own:
        derived = any(other is not cls and issubclass(other, cls) for _, other in own)
        if cls.__name__ in type_names or derived:
            continue
        needs = arguments.required_names(cls)
        note = "needs %s" % " ".join("--arg %s=VALUE" % need for need in needs) if needs else ""
        line, cell = places.get(name, _NOWHERE)
        yield Target(
            name,
            "dataset",
            cls.__name__,
            "class",
            dataset_kind=loaders.kind_of_class(cls),
            needs=needs,
            line=line,
            cell=cell,
            note=note,
        )


def _captured_hint(tree: ast.Module) -> Optional[Target]:
    """The target `captured:0`, if the script's main block probably iterates a DataLoader."""
    guard = next((statement for statement in tree.body if is_main_guard(statement)), None)
    if guard is None:
        return None
    places = [guard, *(node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))]
    for place in places:
        for node in ast.walk(place):
            line = _loader_line(node)
            if line is not None:
                where = "its main block" if place is guard else "%s()" % place.name  # type: ignore[attr-defined]
                note = "runs the script up to its first iteration of a DataLoader (one is seen in %s, line %d)" % (where, line)
                return Target(CAPTURED_PREFIX + "0", "captured", "DataLoader", "captured", line=line, note=note)
    return None


def _loader_line(node: ast.AST) -> Optional[int]:
    """The line of a call that makes a loader, or of a loop over one, judged by names."""
    if isinstance(node, ast.Call) and _last_name(node.func).endswith("Loader"):
        return node.lineno
    if isinstance(node, ast.For) and any("loader" in _last_name(part).lower() for part in ast.walk(node.iter)):
        return node.lineno
    return None


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _definition_places(script: Script) -> Dict[str, _Place]:
    """The place that binds each top-level name last."""
    places: Dict[str, _Place] = {}
    for cell, tree in script.parts:
        for statement in tree.body:
            place = _Place(statement.lineno, cell)
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                places[statement.name] = place
            elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                for target in targets:
                    places.update({node.id: place for node in ast.walk(target) if isinstance(node, ast.Name)})
    return places
