"""What is shown of the things in the tables is written there alone."""

import ast
import dataclasses
import pathlib

import loaderscope
from loaderscope.facts import consumers, lanes, phases, remedies, settings, statuses

TABLES = (consumers, lanes, phases, remedies, settings, statuses)
PACKAGE = pathlib.Path(loaderscope.__file__).parent


def display_strings(table):
    """The strings of several words in the rows of a module of facts."""
    found = set()

    def look_into(value):
        if isinstance(value, str):
            found.update({value} if " " in value.strip() else ())
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            for field in dataclasses.fields(value):
                look_into(getattr(value, field.name))
        elif isinstance(value, dict):
            look_into(tuple(value.values()))
        elif isinstance(value, tuple | list):
            for one in value:
                look_into(one)

    for name, value in vars(table).items():
        if not name.startswith("_"):
            look_into(value)
    return found


def string_constants(path):
    """All string constants of a module that are no docstrings, and no pieces of longer strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in loose
    }


def test_the_tables_have_words_to_look_for():
    found = {table.__name__.rpartition(".")[2]: display_strings(table) for table in TABLES}
    assert "import script" in found["phases"] and "simulated step" in found["lanes"] and "CPU burn" in found["consumers"]
    assert "was skipped" in found["statuses"] and "bare interpreter" in found["remedies"]


def test_words_of_the_tables_stand_in_one_module():
    words = set.union(*map(display_strings, TABLES))
    holders = {}
    for path in PACKAGE.rglob("*.py"):
        for text in string_constants(path) & words:
            holders.setdefault(text, []).append(path.relative_to(PACKAGE).as_posix())
    assert {text: paths for text, paths in holders.items() if len(paths) > 1} == {}
    assert {path for paths in holders.values() for path in paths} == {f"facts/{pathlib.Path(table.__file__).name}" for table in TABLES}
