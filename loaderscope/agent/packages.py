"""Modules of packages: the name under which `python -m` runs a file, and the folder from which it finds that name.

And the names of Python's own modules.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
from typing import AbstractSet, NamedTuple, Optional

_MAIN = "__main__"


class PackageModule(NamedTuple):
    """A script as a module.

    Attributes:
        name: its dotted name; of a package, that of the package's `__main__`.
        root: the folder that holds the outermost package of the name, or the module itself.
    """

    name: str
    root: str


def named_module(name: str, path: str) -> PackageModule:
    """Returns the module that `python -m NAME` runs, whose file is `path`."""
    if os.path.basename(path) == _MAIN + ".py" and name.rpartition(".")[2] != _MAIN:
        name = "%s.%s" % (name, _MAIN)
    root = path
    for _ in name.split("."):
        root = os.path.dirname(root)
    return PackageModule(name, root)


def module_of_file(path: str, tree: ast.Module) -> Optional[PackageModule]:
    """Returns the module as which a file must run, because it lies in a package and imports by its place there; None for any other.

    A file whose relative imports all are in a `try` has another way where there is no package, so it runs as a file, as Python runs it.
    So does a file that Python cannot import, as a notebook.
    """
    stem, extension = os.path.splitext(os.path.basename(path))
    if extension != ".py" or not os.path.isfile(os.path.join(os.path.dirname(path), "__init__.py")) or not _imports_relatively(tree):
        return None
    parts, root = [stem], os.path.dirname(path)
    while os.path.isfile(os.path.join(root, "__init__.py")) and os.path.dirname(root) != root:
        parts.insert(0, os.path.basename(root))
        root = os.path.dirname(root)
    return PackageModule(".".join(parts), root)


@functools.lru_cache(maxsize=None)
def standard_modules() -> AbstractSet[str]:
    """The names of the modules and packages of Python's own library."""
    try:
        return sys.stdlib_module_names
    except AttributeError:  # before Python 3.10
        import pkgutil

        folder = os.path.dirname(os.__file__)
        return {*sys.builtin_module_names, *(module.name for module in pkgutil.iter_modules([folder, os.path.join(folder, "lib-dynload")]))}


def _imports_relatively(node: ast.AST) -> bool:
    """Whether there is a relative import outside of every `try`."""
    if isinstance(node, ast.ImportFrom):
        return node.level > 0
    return not isinstance(node, ast.Try) and any(_imports_relatively(child) for child in ast.iter_child_nodes(node))
