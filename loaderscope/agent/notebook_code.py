"""The code of a notebook, as the agent runs it and as workers import it.

Each cell is compiled under a file name that ends in its number, so every traceback and every sentence names cell and line. Workers
that spawn or the fork server starts import a generated file with the definitions of the cells in place of the main module.
"""

from __future__ import annotations
import __future__

import ast
import os
import types
from typing import Any, Dict, List, Optional, Tuple

from . import notebook_shell
from .notebook import Notebook
from .notebook_definitions import positions_for_workers

SPAWN_NOTE = (
    "Workers that spawn or a fork server starts find the notebook's classes and functions in a file that Loaderscope generates. "
    "Jupyter itself cannot start such workers: there, put the dataset into a module and import it."
)

_FUTURE_FLAGS = 0
for _feature in __future__.all_feature_names:
    _FUTURE_FLAGS |= getattr(__future__, _feature).compiler_flag

_WORKER_MAIN = """\
# Definitions of the cells of a notebook, for workers. Loaderscope generated this file and removes it.
import runpy
runpy.run_path({shell!r})["define"](globals(), {cells!r})
"""


class NotebookCode:
    """The compiled cells of a notebook.

    Attributes:
        tree: the statements of all cells; line numbers are those in their cells.
        files: the file name of each cell.
    """

    def __init__(self, path: str, notebook: Notebook) -> None:
        """Compiles the cells.

        Raises:
            SyntaxError: a cell is not Python; the error names its file and line.
        """
        self._name = os.path.basename(path)
        self._sources = [cell.source for cell in notebook.cells]
        self.files = [notebook_shell.cell_file(path, cell.number) for cell in notebook.cells]
        self._trees: List[ast.Module] = []
        self._numbers = [cell.number for cell in notebook.cells]
        self._codes: List[types.CodeType] = []
        self._flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        for file, source in zip(self.files, self._sources):  # noqa: B905 - Python 3.9
            tree = ast.parse(source, file)
            code = compile(tree, file, "exec", self._flags, True)
            self._flags |= code.co_flags & _FUTURE_FLAGS  # a __future__ import holds for all later cells, as in Jupyter
            self._trees.append(tree)
            self._codes.append(code)
        self.tree = ast.Module(body=[node for tree in self._trees for node in tree.body], type_ignores=[])

    @property
    def parts(self) -> List[Tuple[Optional[int], ast.Module]]:
        """The number and the statements of each cell."""
        return list(zip(self._numbers, self._trees))  # noqa: B905 - Python 3.9

    def run(self, namespace: Dict[str, Any]) -> None:
        """Runs the cells in the namespace of the main module."""
        for file, source in zip(self.files, self._sources):  # noqa: B905 - Python 3.9
            notebook_shell.keep_source(file, source)
        namespace.update(notebook_shell.stand_ins())
        notebook_shell.execute(self._codes, namespace)

    def let_workers_import_definitions(self, folder: str) -> None:
        """Makes workers import the definitions of the cells, from a file that is written to `folder`."""
        os.environ.setdefault("MPLBACKEND", "Agg")  # figures open no windows, as in Jupyter
        from multiprocessing import spawn

        path = os.path.join(folder, self._name + ".py")
        kept = positions_for_workers(self._trees, self._flags)
        cells = [tuple(cell) for cell in map(notebook_shell.CellCode, self.files, self._sources, kept, [self._flags] * len(kept))]
        with open(path, "w", encoding="utf-8") as file:
            file.write(_WORKER_MAIN.format(shell=os.path.abspath(notebook_shell.__file__), cells=cells))
        plain = spawn.get_preparation_data

        def get_preparation_data(name: str) -> Dict[str, Any]:
            data: Dict[str, Any] = plain(name)
            data["init_main_from_path"] = path
            return data

        spawn.get_preparation_data = get_preparation_data
