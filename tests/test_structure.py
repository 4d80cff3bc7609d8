"""The house keeps its order: no module needs one that needs it, whether at its top, within a function or for types only."""

import ast
import pathlib
import re

import loaderscope

PACKAGE = pathlib.Path(loaderscope.__file__).parent
SOURCE = pathlib.Path(__file__).parent.parent / "loaderscope"
"""The map is for developers: it is not installed."""


def modules() -> dict[str, pathlib.Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("loaderscope", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, known: dict[str, pathlib.Path]) -> set[str]:
    """Modules of the package that a module imports anywhere in it."""
    path = known[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {one if one in known else module for one in inner}
    return (found & known.keys()) - {name}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Some circle of the graph; empty where there is none."""
    left = {name: set(targets) for name, targets in graph.items()}
    while ends := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in ends:
            del left[name]
    path: list[str] = []
    while left:
        path.append(next(iter(left)) if not path else next(iter(left[path[-1]] & left.keys())))
        if path[-1] in path[:-1]:
            return path[path.index(path[-1]) :]
    return []


def test_no_circle_of_imports():
    known = modules()
    assert len(known) > 200
    assert circle({name: imports(name, known) for name in known}) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) in (["b", "c", "b"], ["c", "b", "c"])


def test_the_map_names_files_that_exist_and_every_room():
    text = (SOURCE / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", text)
    assert len(named) > 60
    assert [name for name in named if not (SOURCE / name).exists()] == []
    rooms = {path.parent.relative_to(SOURCE).as_posix() + "/" for path in SOURCE.rglob("*.py")}
    halls = {"./", "gui/", "gui/timeline/", "agent/child_hook/"}  # they hold rooms, or a single file that Python finds by its name
    assert rooms - halls - set(named) == set()
