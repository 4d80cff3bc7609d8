"""Stands in for IPython where a notebook's cells run: in the agent, and in workers that import the notebook's definitions.

Workers load this file by its path, in an interpreter that may have no other module of this folder: it imports none of them.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, NamedTuple, NoReturn, Optional, Tuple

_COROUTINE = 0x80  # inspect.CO_COROUTINE: the code awaits at its top level


class CellCode(NamedTuple):
    """A cell for a worker.

    Attributes:
        file: its name in tracebacks.
        source: its code.
        kept: positions of the top-level statements that a worker needs.
        flags: flags of the compiler.
    """

    file: str
    source: str
    kept: Tuple[int, ...]
    flags: int


_CELL = ", cell "


def cell_file(path: str, number: int) -> str:
    """Returns the file name under which a cell is compiled, so that tracebacks and sentences name the cell as they name files."""
    return "%s%s%d" % (path, _CELL, number)


def cell_number(file: str) -> Optional[int]:
    """Returns the number of the cell that a file name means; None for the name of a real file."""
    _, separator, number = os.path.basename(file).rpartition(_CELL)
    return int(number) if separator and number.isdecimal() else None


class NotRun:
    """The value of a shell command that was not run; every use of it raises an error that names the command."""

    def __init__(self, command: str, place: str) -> None:
        self.__dict__["_sentence"] = "the value of `%s` (%s) is missing: Loaderscope runs no shell commands of notebooks" % (command, place)

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(self.__dict__["_sentence"])


def _use(self: Any, *_args: Any) -> NoReturn:
    raise RuntimeError(self.__dict__["_sentence"])


for _name in (
    "str", "repr", "format", "bytes", "bool", "len", "iter", "next", "getitem", "setitem", "contains", "call", "int", "float", "index",
    "add", "radd", "mul", "mod", "truediv", "sub", "eq", "ne", "lt", "le", "gt", "ge", "hash", "fspath", "enter", "setattr",
):  # fmt: skip
    setattr(NotRun, "__%s__" % _name, _use)


class Shell:
    """What `get_ipython()` returns: carries out `%cd` and `%env`, and ignores all other magics and commands."""

    def __init__(self) -> None:
        self._previous_folder = os.getcwd()

    def run_line_magic(self, name: str, line: str, *_more: Any) -> None:
        if name == "cd":
            self._change_folder(line)
        elif name in ("env", "set_env") and line.strip():
            variable, equals, value = line.partition("=")
            if not equals:
                variable, _, value = line.strip().partition(" ")
            if value.strip():
                os.environ[variable.strip()] = value.strip().strip("'\"")

    def run_cell_magic(self, *_args: Any) -> None:
        """Ignores a cell magic."""

    def magic(self, text: str) -> None:
        name, _, line = text.lstrip("%").partition(" ")
        self.run_line_magic(name, line)

    def system(self, *_args: Any) -> None:
        """Ignores a shell command."""

    def not_run(self, command: str, place: str) -> NotRun:
        return NotRun(command, place)

    def getoutput(self, command: str, *_more: Any) -> NotRun:
        return NotRun("!" + command, "get_ipython().getoutput")

    def _change_folder(self, line: str) -> None:
        words = line.strip()
        if words.startswith("-q"):
            words = words[2:].strip()
        folder = words.strip("'\"") or "~"
        target = self._previous_folder if folder == "-" else os.path.expanduser(folder)
        self._previous_folder = os.getcwd()
        os.chdir(target)


def _display(*objects: Any, **_options: Any) -> None:
    """Prints objects, which Jupyter shows below a cell."""
    print(*objects)


def stand_ins() -> Dict[str, Any]:
    """Returns the names that IPython puts into the namespace of a notebook."""
    shell = Shell()
    return {"get_ipython": lambda: shell, "display": _display}


def keep_source(file: str, source: str) -> None:
    """Makes tracebacks and `inspect` show the lines of a cell, which is no file of its own."""
    import linecache

    linecache.cache[file] = (len(source), None, [line + "\n" for line in source.split("\n")], file)


def execute(codes: Iterable[Any], namespace: Dict[str, Any]) -> None:
    """Runs the code of cells one after another, in one event loop if they await."""
    loop: Any = None
    for code in codes:
        if not code.co_flags & _COROUTINE:
            exec(code, namespace)
            continue
        if loop is None:
            import asyncio

            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
        loop.run_until_complete(eval(code, namespace))


def define(namespace: Dict[str, Any], cells: Iterable[Tuple[str, str, Tuple[int, ...], int]]) -> None:
    """Runs the statements of a notebook that a worker needs; `cells` are fields of `CellCode`."""
    import ast

    namespace.update(stand_ins())
    codes: List[Any] = []
    for cell in map(CellCode._make, cells):
        keep_source(cell.file, cell.source)
        tree = ast.parse(cell.source, cell.file)
        tree.body = [tree.body[position] for position in cell.kept]
        codes.append(compile(tree, cell.file, "exec", cell.flags, True))
    execute(codes, namespace)
