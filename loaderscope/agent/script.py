"""Loads the user's script so that its classes pickle under every start method.

To find its targets it is named `__mp_main__`, as in multiprocessing's spawn children, so that its main block does not run. As the main
program it is named `__main__`. Either way both names in `sys.modules` lead to it, because spawn children look up both.
A module of a package (`python -m`) has its own name only in its `__spec__`: spawn children import it by that name.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import os
import sys
import types
from typing import AbstractSet, Any, Dict, List, NoReturn, Optional, Sequence, Set, Tuple

from . import no_input, packages
from .error_sentences import UNSUPPORTED, AgentError, describe, text_of
from .notebook import NOTEBOOK_SUFFIX, NotebookError, read_notebook
from .notebook_code import SPAWN_NOTE, NotebookCode
from .script_failure import describe_exit

AS_MODULE = "__mp_main__"
AS_PROGRAM = "__main__"


class Script:
    """The user's script: its file, its syntax tree and, once `run` was called, its module.

    Attributes:
        path: absolute path of the file.
        tree: the parsed source.
        folder: the folder in which it finds its own modules: `sys.path[0]`.
        notes: sentences for the user on how it runs.
        module: the module; None until its code starts to run.
    """

    def __init__(self, path: str, module_name: Optional[str] = None) -> None:
        """Reads and compiles the script; runs none of it.

        Args:
            path: of its file.
            module_name: the name by which `python -m` runs it; None: it is run as a file, or as a module if it needs its package.

        Raises:
            AgentError: there is no such file, it cannot be read, or it is not Python.
        """
        self.path = os.path.abspath(path)
        self.name = os.path.basename(self.path)
        if not os.path.exists(self.path):
            raise AgentError("FileNotFoundError", "there is no file %s" % self.path, self.path)
        if os.path.isdir(self.path):
            raise AgentError("IsADirectoryError", "%s is a folder, not a Python script" % self.path, self.path)
        try:
            with open(self.path, "rb") as file:
                source = file.read()
        except OSError as error:
            raise AgentError(type(error).__name__, "%s cannot be read: %s" % (self.path, error.strerror), self.path) from error
        self.module: Optional[types.ModuleType] = None
        self.notes: List[str] = []
        self._notebook: Optional[NotebookCode] = None
        try:
            if self.name.endswith(NOTEBOOK_SUFFIX):
                self._read_notebook(source)
            else:
                # Parsed from bytes to respect a coding line; compiled from the tree to parse only once.
                self.tree: ast.Module = ast.parse(source, self.path)
                self._code = compile(self.tree, self.path, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise _syntax_error(self, error, source) from None
        except (ValueError, RecursionError) as error:
            raise AgentError(type(error).__name__, "%s is no Python script: %s" % (self.name, error), self.path, 1) from None
        # Python finds modules beside the real file of a linked script; on Windows it follows no links
        real_path = self.path if os.name == "nt" else os.path.realpath(self.path)
        self._as_module = (
            packages.module_of_file(real_path, self.tree) if module_name is None else packages.named_module(module_name, self.path)
        )
        self.folder = os.path.dirname(real_path) if self._as_module is None else self._as_module.root
        if self._as_module is not None and module_name is None:
            words = "%s imports by its place in a package, so it runs as `python -m %s` in %s would run it."
            self.notes.append(words % (self.name, self._as_module.name, self.folder))

    def _read_notebook(self, source: bytes) -> None:
        try:
            notebook = read_notebook(source.decode("utf-8"))
        except NotebookError as error:
            raise AgentError(UNSUPPORTED, "%s %s" % (self.name, error), self.path) from None
        self._notebook = NotebookCode(self.path, notebook)
        self.tree = self._notebook.tree
        self.notes += [*notebook.notes, SPAWN_NOTE]

    @property
    def is_notebook(self) -> bool:
        """Whether the script is a notebook: then workers import its definitions only, and need no main guard."""
        return self._notebook is not None

    @property
    def parts(self) -> List[Tuple[Optional[int], ast.Module]]:
        """The number and the statements of each cell of a notebook; of any other script, None and all its statements."""
        return [(None, self.tree)] if self._notebook is None else self._notebook.parts

    def holds(self, file: str) -> bool:
        """Whether a file name of running code is the script's, or that of a cell of it."""
        return file == self.path if self._notebook is None else file in self._notebook.files

    @classmethod
    def of_running_process(cls, files: Sequence[str]) -> Script:
        """Returns the script that this process runs; where Python runs a command (`-c`), the outermost file of the user's code.

        Args:
            files: files of the user's code that runs, the innermost first.

        Raises:
            AgentError: there is no such file, or it cannot be read.
        """
        main = sys.modules[AS_PROGRAM]
        path = getattr(main, "__file__", None) or (files[-1] if files else "")
        if not os.path.isfile(path):
            raise AgentError(UNSUPPORTED, "the DataLoader is iterated by a process whose code is in no file (`python -c`, or from stdin)")
        script = cls(path)
        modules_of_file = (module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == path)
        script.module = main if getattr(main, "__file__", None) else next(modules_of_file, main)
        return script

    def is_beside_script_only(self, name: str) -> bool:
        """Whether a loaded module lies beside the script, in a folder that is on `sys.path` because of the script only."""
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        place = os.path.dirname(os.path.dirname(file) if os.path.basename(file).startswith("__init__.") else file)
        return place == self.folder and sys.path.count(self.folder) < 2

    @property
    def namespace(self) -> Dict[str, Any]:
        """The names that the script has defined so far."""
        return {} if self.module is None else vars(self.module)

    def set_up_process(self, args: Sequence[str], cwd: Optional[str], loaded_at_start: AbstractSet[str], temporary_folder: str) -> None:
        """Gives this process the state of a Python that was started with the script.

        Args:
            args: the script's own arguments.
            cwd: working directory of the app's caller; None keeps this process's own.
            loaded_at_start: modules that any interpreter has loaded before it runs a script.
            temporary_folder: for files that last as long as the process.

        Raises:
            AgentError: the working directory does not exist.
        """
        if cwd is not None:
            try:
                os.chdir(cwd)
            except OSError as error:
                raise AgentError(type(error).__name__, "the working directory %s cannot be entered: %s" % (cwd, error.strerror)) from None
        if self._notebook is not None:
            self._notebook.let_workers_import_definitions(temporary_folder)
        no_input.watch()
        sys.argv[:] = [self.path, *args]
        if self._as_module is not None and self.folder in sys.path:  # an installed module is found without its folder in front
            self.folder = os.getcwd()
        sys.path.insert(0, self.folder)
        _forget_shadowed(self.folder, loaded_at_start)

    def run(self, run_name: str, not_reached: str) -> None:
        """Runs the script's code in its module.

        Args:
            run_name: `AS_MODULE` or `AS_PROGRAM`.
            not_reached: what the script had not reached, for the sentence when it ends itself ("before ...").

        Raises:
            AgentError: the script raised, or ended itself.
        """
        module = types.ModuleType(run_name)
        if self._notebook is None:
            module.__file__ = self.path  # the code of a notebook has no file, as in Jupyter
        module.__spec__ = None
        module.__dict__["__cached__"] = None
        if self._as_module is not None:
            spec = module.__spec__ = importlib.util.spec_from_file_location(self._as_module.name, self.path)
            assert spec is not None  # the name of the file ends in .py
            module.__package__, module.__loader__ = spec.parent, spec.loader
        self._replaced = sys.modules.get(AS_PROGRAM)  # kept alive: frames below us still use its globals
        self.module = sys.modules[AS_PROGRAM] = sys.modules[AS_MODULE] = module
        folder = os.getcwd()
        failure: BaseException
        try:
            self._execute(module)
        except SystemExit as error:
            failure, info = error, describe_exit(error, not_reached, folder)
        except KeyboardInterrupt as error:
            failure, info = error, describe(error)
        except BaseException as error:  # the border to the user's code: every exception is reported
            failure, info = error, describe_exit(error, not_reached, folder)
            hint = self._hint(text_of(error)) if isinstance(error, (ImportError, AttributeError, NameError)) else ""
            info = dataclasses.replace(info, message=info.message + hint)
        else:
            return
        raise AgentError.of(info) from failure

    def _execute(self, module: types.ModuleType) -> None:
        own_pid = os.getpid()
        try:
            if module.__package__:  # as `python -m` does, and as relative imports need it
                importlib.import_module(module.__package__)
            if self._notebook is not None:
                self._notebook.run(module.__dict__)
            else:
                exec(self._code, module.__dict__)
        except BaseException as error:
            if os.getpid() != own_pid:
                _end_fork(error)
            raise
        if os.getpid() != own_pid:
            _end_fork(None)

    def _hint(self, message: str) -> str:
        """Advice for a script that fails because of its folder or its origin, chosen by Python's own message; else empty."""
        if "'get_ipython'" in message:
            return "; the script was exported from a notebook: take out the lines that call get_ipython()"
        if "attempted relative import" in message:
            return "; it is part of a package: run it as its module (-m), or give a script outside of it that imports it"
        if "partially initialized module" in message:
            shadowing = sorted(_modules_in(self.folder) & packages.standard_modules())
            if shadowing:
                return "; %s.py beside the script stands before Python's own module %s: rename it" % (shadowing[0], shadowing[0])
        return ""


def _end_fork(error: Optional[BaseException]) -> NoReturn:
    """Ends a child that the script has forked with the words and the exit status of Python: it must not go on as the agent."""
    status = 0 if error is None else 1
    try:
        if isinstance(error, SystemExit):
            if error.code is None or isinstance(error.code, int):
                status = (error.code or 0) & 0xFF
            else:
                print(error.code, file=sys.stderr)
        elif error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _syntax_error(script: Script, error: SyntaxError, source: bytes) -> AgentError:
    line, file = error.lineno or _undecodable_line(source) or 1, error.filename or script.path
    return AgentError(type(error).__name__, "%s, line %d: %s" % (os.path.basename(file), line, error.msg), file, line)


def _undecodable_line(source: bytes) -> Optional[int]:
    """The first line that is not UTF-8; Python's own error does not always name it."""
    for number, line in enumerate(source.split(b"\n"), 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return number
    return None


def _forget_shadowed(folder: str, loaded_at_start: AbstractSet[str]) -> None:
    """Drops standard modules from `sys.modules` that only the agent loaded and that a file beside the script shadows.

    Started by hand, the script would import its own file. Our modules keep the standard modules that they have imported.
    """
    names = _modules_in(folder)
    for name in list(sys.modules):
        top = name.partition(".")[0]
        if top in names and top not in loaded_at_start and not top.startswith("_loaderscope"):
            del sys.modules[name]


def _modules_in(folder: str) -> Set[str]:
    """Names of the modules and packages in a folder."""
    try:
        entries = os.listdir(folder)
    except OSError:
        return set()
    names = set()
    for entry in entries:
        stem, extension = os.path.splitext(entry)
        if extension == ".py" or (not extension and os.path.isfile(os.path.join(folder, entry, "__init__.py"))):
            names.add(stem)
    return names
