"""The script, the target in it that feeds the loader, and the interpreter that runs it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QFormLayout, QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from loaderscope.agent.error_sentences import STANDARD_INPUT
from loaderscope.agent.messages import ErrorInfo, Target
from loaderscope.facts.request import Request, default_cwd
from loaderscope.facts.text import bytes_text, duration_text
from loaderscope.gui.panels.combo_box import Choice
from loaderscope.gui.style.words import target_text
from loaderscope.session.secret_masking import MASK, holds_mask

SCRIPT_FILTER = "Python scripts and notebooks (*.py *.ipynb);;All files (*)"
MOST_KEYS_SHOWN = 8
HINT = "Drop a Python script here, or choose one. It is not edited: Loaderscope finds the datasets and loaders in it."

_MASKED = (
    f"The session holds some arguments or variables of the script only as {MASK}: enter them again, then press Enter to read the script."
)


class TargetPanel(QWidget):
    """Shows the script and its targets; the window reads the script.

    Signals:
        scriptChosen: path of the script that the user chose, or `-m MODULE`.
        targetChosen: the `Target` that the user chose.
        interpreterChosen: path of the interpreter that the user chose, or None for the default.
        argumentsChanged: the user changed an argument of the target.
    """

    scriptChosen = Signal(str)
    targetChosen = Signal(object)
    interpreterChosen = Signal(object)
    argumentsChanged = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._targets: list[Target] = []
        self._has_targets = True
        self._argument_edits: dict[str, QLineEdit] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 2, 12, 4)
        layout.setSpacing(6)
        self.script = self._script_field(
            "script.py",
            "Path of the script",
            "The Python script or notebook whose DataLoader is to be profiled, or -m and a module; Enter reads it",
        )
        browse = QPushButton("…")
        browse.setFixedWidth(30)
        browse.setToolTip("Choose a script")
        browse.setAccessibleName("Choose a script")
        browse.clicked.connect(self.browse)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.script, 1)
        line.addWidget(browse)
        layout.addLayout(line)
        self.script_args = self._script_field(
            "arguments of the script",
            "Arguments of the script",
            "What stands behind the script's name when you run it yourself, for example --data /data/photos; Enter reads the script again",
        )
        layout.addWidget(self.script_args)
        self.working_folder = self._script_field(
            "working folder",
            "Working folder of the script",
            "The folder in which the script runs, if not the one that Loaderscope was started in; Enter reads the script again",
        )
        layout.addWidget(self.working_folder)
        self.variables = self._script_field(
            "environment: NAME=VALUE …",
            "Environment variables of the script",
            "Variables for the script's environment, for example DATA_ROOT=/data/photos; Enter reads the script again.\n"
            "A saved session keeps their names only, but for switches that keep trackers offline.",
        )
        layout.addWidget(self.variables)
        self.target = Choice()
        self.target.setAccessibleName("Target")
        self.target.setToolTip(
            "What feeds the loader: a Dataset or DataLoader of the script, a function that returns one, a Dataset class,\n"
            "or captured:N, the N-th loader that the script iterates when it runs"
        )
        self.target.currentIndexChanged.connect(self._target_changed)
        layout.addWidget(self.target)
        self._arguments = QFrame()
        self._arguments_form = QFormLayout(self._arguments)
        self._arguments_form.setContentsMargins(0, 0, 0, 0)
        self._arguments_form.setVerticalSpacing(4)
        self._arguments.hide()
        layout.addWidget(self._arguments)
        self.sample = QLabel(HINT)
        self.sample.setProperty("role", "muted")
        self.sample.setWordWrap(True)
        self.sample.setTextFormat(Qt.TextFormat.PlainText)
        self.sample.setAccessibleName("Structure of one sample")
        layout.addWidget(self.sample)
        self.problem = QLabel()
        self.problem.setProperty("role", "error")
        self.problem.setWordWrap(True)
        self.problem.setMinimumWidth(1)  # else a long word would make the panel wider than what is seen of it
        self.problem.setTextFormat(Qt.TextFormat.PlainText)
        self.problem.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.problem.setAccessibleName("What is wrong")
        self.problem.hide()
        layout.addWidget(self.problem)
        self.interpreter = Choice()
        self.interpreter.setAccessibleName("Python interpreter")
        self.interpreter.setToolTip("The Python that runs your script; it needs torch, and nothing of Loaderscope")
        self.interpreter.addItem("Python of Loaderscope", None)
        self.interpreter.activated.connect(self._interpreter_activated)
        layout.addWidget(self.interpreter)

    def _script_field(self, placeholder: str, accessible_name: str, tip: str) -> QLineEdit:
        """Returns a field in which Enter reads the script."""
        field = QLineEdit()
        field.setPlaceholderText(placeholder)
        field.setAccessibleName(accessible_name)
        field.setToolTip(tip)
        field.returnPressed.connect(self._script_entered)
        return field

    def browse(self) -> None:
        """Asks the user for a script in a file dialog."""
        path, _ = QFileDialog.getOpenFileName(self, "Choose a script", self.script.text() or "", SCRIPT_FILTER)
        if path:
            self.scriptChosen.emit(path)

    def _script_entered(self) -> None:
        if self.script.text().strip():
            self.scriptChosen.emit(self.script.text().strip())

    def _interpreter_activated(self, index: int) -> None:
        if self.interpreter.itemData(index) == "":  # the last entry asks for a file
            path, _ = QFileDialog.getOpenFileName(self, "Choose a Python interpreter")
            if not path:
                self.interpreter.setCurrentIndex(0)
                return
            self.interpreter.insertItem(index, path, path)
            self.interpreter.setCurrentIndex(index)
        self.interpreterChosen.emit(self.interpreter.currentData())

    def set_interpreters(self, interpreters: Sequence[tuple[str, str]], chosen: str | None, own: str = "") -> None:
        """Lists interpreters as (path, description); `own` describes the interpreter that runs this window."""
        self.interpreter.clear()
        self.interpreter.addItem(f"{own or 'Python'}, of Loaderscope", None)
        self.interpreter.setItemData(0, f"{sys.executable}, which runs this window", Qt.ItemDataRole.ToolTipRole)
        for path, text in interpreters:
            self.interpreter.addItem(text, path)
            self.interpreter.setItemData(self.interpreter.count() - 1, path, Qt.ItemDataRole.ToolTipRole)
        self.interpreter.addItem("Choose another…", "")
        self.interpreter.setCurrentIndex(max(0, self.interpreter.findData(chosen)))

    def show_reading(self, script: str) -> None:
        """Says that the script is being read, which is given by its path or as `-m MODULE`."""
        self.script.setText(script)
        self.script.setCursorPosition(len(script))
        self.script.setToolTip(script)
        self._fill([], None)
        self.show_problem("")
        self._show_sample_text(f"Reading {Path(script).name} …")

    def show_unread(self, script: str) -> None:
        """Shows a script that nobody reads, given by its path or as `-m MODULE`."""
        self.show_reading(script)
        self._show_sample_text("")

    def show_targets(self, targets: Sequence[Target], chosen: str | None = None) -> None:
        """Lists the targets and chooses one: the target named `chosen`, else the first that needs no arguments."""
        self.show_problem("")
        self._fill(list(targets), chosen)
        if not targets:
            self._show_sample_text("")

    def _fill(self, targets: list[Target], chosen: str | None) -> None:
        self._targets = targets
        self.target.blockSignals(True)
        self.target.clear()
        for target in targets:
            self.target.addItem(target_text(target))
            self.target.setItemData(self.target.count() - 1, target.note or target_text(target), Qt.ItemDataRole.ToolTipRole)
        names = [target.name for target in targets]
        index = names.index(chosen) if chosen in names else next((i for i, target in enumerate(targets) if not target.needs), 0)
        self.target.setCurrentIndex(index if targets else -1)
        self.target.setEnabled(bool(targets))
        self.target.blockSignals(False)
        self._show_arguments()

    def _target_changed(self) -> None:
        self._show_arguments()
        if self.current_target is not None:
            self.targetChosen.emit(self.current_target)

    def _show_arguments(self) -> None:
        while self._arguments_form.rowCount():
            self._arguments_form.removeRow(0)
        self._argument_edits = {}
        target = self.current_target
        for name in target.needs if target is not None else ():
            edit = QLineEdit()
            edit.setAccessibleName(f"Argument {name}")
            edit.setPlaceholderText("needed")
            edit.editingFinished.connect(self.argumentsChanged)
            self._argument_edits[name] = edit
            self._arguments_form.addRow(name, edit)
        self._arguments.setVisible(self._has_targets and bool(self._argument_edits))

    def show_script_alone(self, alone: bool) -> None:
        """Hides the targets and the sample where the whole script runs, or shows them again."""
        self._has_targets = not alone
        self.target.setVisible(not alone)
        self._arguments.setVisible(not alone and bool(self._argument_edits))
        self.sample.setVisible(not alone and bool(self.sample.text()))

    @property
    def targets(self) -> list[Target]:
        """The targets to choose from."""
        return self._targets

    @property
    def current_target(self) -> Target | None:
        index = self.target.currentIndex()
        return self._targets[index] if 0 <= index < len(self._targets) else None

    def arguments(self) -> dict[str, str]:
        """Returns what the user typed for the arguments of a Dataset class."""
        return {name: edit.text() for name, edit in self._argument_edits.items() if edit.text()}

    def missing_arguments(self) -> list[str]:
        """Returns the names of needed arguments that are still empty."""
        return [name for name, edit in self._argument_edits.items() if not edit.text()]

    def show_surroundings(self, request: Request) -> None:
        """Shows the script's arguments, working folder and environment variables of a request."""
        self.working_folder.setText(request.cwd or "")
        self.script_args.setText(shlex.join(request.script_args))
        self.variables.setText(shlex.join(f"{name}={value}" for name, value in request.environment_variables.items()))

    def arguments_of_script(self) -> tuple[str, ...]:
        """Returns the arguments of the script, split as a shell does."""
        return _split(self.script_args.text())

    def folder_of_script(self, script: str) -> str:
        """Returns the folder in which a script is to run: the chosen one, else that which `default_cwd` gives."""
        chosen = self.working_folder.text().strip()
        return os.path.abspath(os.path.expanduser(chosen)) if chosen else default_cwd(script)

    def environment_variables(self) -> dict[str, str]:
        """Returns the variables for the script's environment; what is not NAME=VALUE has an empty name or no value."""
        pairs = (word.partition("=") for word in _split(self.variables.text()))
        return {name: value for name, _, value in pairs}

    def faulty_field(self) -> tuple[QLineEdit, str] | None:
        """Returns the field with which the script cannot be read, and why not: its session masked a value, or it is no NAME=VALUE."""
        if any(map(holds_mask, self.arguments_of_script())):
            return self.script_args, _MASKED
        if any(map(holds_mask, self.environment_variables().values())):
            return self.variables, _MASKED
        misspelt = next((word for word in _split(self.variables.text()) if word.find("=") < 1), None)
        if misspelt is not None:
            return self.variables, f"Write each variable of the environment as NAME=VALUE, not as {misspelt}."
        return None

    def show_sample(self, sample: dict[str, Any] | None, note: str = "") -> None:
        """Shows the structure of one sample, its size, and how long reading it took."""
        self._show_sample_text("\n".join(part for part in (sample_text(sample), note) if part))

    def _show_sample_text(self, text: str) -> None:
        self.sample.setText(text)
        self.sample.setVisible(self._has_targets and bool(text))

    def show_problem(self, sentence: str, advice: str = "") -> None:
        """Shows what is wrong in a sentence, and what to do about it; an empty sentence hides the problem."""
        self.problem.setText("\n".join(part for part in (sentence, advice) if part))
        self.problem.setVisible(bool(sentence))


def _split(text: str) -> tuple[str, ...]:
    """Splits a text as a shell does; a text that a shell refuses is split at blanks."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return tuple(text.split())


def advice_for(error: ErrorInfo) -> str:
    """Returns what to do about an error of a script, in one sentence; empty where the error says it all."""
    if error.cause == STANDARD_INPUT:
        return "Have it take the answer from an argument, in the field above, or from a default."
    return {
        "ModuleNotFoundError": "Choose the interpreter that has this module below, or install it there.",
        "ImportError": "Choose the interpreter that your script normally runs with below.",
        "SyntaxError": "Mend that line, then read the script again (Ctrl+F5).",
        "SystemExit": "Give the arguments your script needs in the field above.",
        "FileNotFoundError": "Paths are relative to the working folder above; without one, to the folder that Loaderscope was started in.",
        "hung": "If the top level of the script trains, choose the target captured:0.",
    }.get(error.kind, "")


def sample_text(sample: dict[str, Any] | None) -> str:
    """Returns a probed sample as text: its structure, with a line for each key, then its size and how long reading it took."""
    if not sample:
        return ""
    items = sample.get("items") or []
    if items and all(isinstance(item.get("key"), str) for item in items):
        keys = [f"    {item['key']}: {structure_text(item, 2)}" for item in items[:MOST_KEYS_SHOWN]]
        more = sample.get("length", len(items)) - len(keys)
        lines = [f"sample: {sample.get('type')} with", *keys, *([f"    and {more} more"] if more > 0 else [])]
    else:
        lines = [f"sample: {structure_text(sample)}"]
    size = bytes_text(sample["bytes"]) if sample.get("bytes") is not None else ""
    time = f"read in {duration_text(sample['seconds'])}" if sample.get("seconds") is not None else ""
    return "\n".join([*lines, *filter(None, [", ".join(filter(None, (size, time)))])])


def structure_text(value: dict[str, Any], depth: int = 3) -> str:
    """Returns a value that agent/samples.py described as text: (float32 3×224×224, int) or {image: uint8 64×64, label: int}."""
    if value.get("shape") is not None:
        shape = "×".join(str(size) for size in value["shape"])
        return f"{str(value.get('dtype', '')).removeprefix('torch.')} {shape or 'scalar'}".strip()
    items = value.get("items")
    if items is None:
        return str(value.get("type", "?"))
    if depth == 0:
        return "…"
    named = any(isinstance(item.get("key"), str) for item in items)
    texts = [(f"{item['key']}: " if named else "") + structure_text(item, depth - 1) for item in items[:6]]
    if value.get("length", len(items)) > 6:
        texts.append(f"… {value['length']} in all")
    brackets = {"tuple": "()", "list": "[]"}.get(str(value.get("type")), "{}" if named else "()")
    return f"{brackets[0]}{', '.join(texts)}{brackets[1]}"
