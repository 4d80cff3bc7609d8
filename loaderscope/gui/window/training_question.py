"""Asks whether the training may run for each setting, once for each script content, arguments and folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QCheckBox, QDialog, QDialogButtonBox, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from loaderscope.facts.request import MODULE_OPTION, Request
from loaderscope.facts.text import count_text
from loaderscope.facts.trackers import Tracker, imported_modules, trackers_of
from loaderscope.gui.style.words import training_batches_text
from loaderscope.sweep.ready_agent import IN_TRAINING_VARIABLE

SETTINGS_KEY = "training_consents"
MOST_REMEMBERED = 100
WARNING = (
    "Each trial runs your training for that long. It may overwrite checkpoints and upload logs, and a write in the background may be cut "
    "off."
)
SCRATCH_ADVICE = "If the script takes its output folder as an argument, give it a scratch folder first."
ENVIRONMENT_ADVICE = f"{IN_TRAINING_VARIABLE}=1 in its environment tells the script, so that it can, for example, save no checkpoints."


class TrainingQuestion(QDialog):
    """The question. `exec` returns whether the user agrees; `wants_arguments` whether they go to the script's arguments instead."""

    def __init__(self, request: Request, trial_count: int, batch_limit: int | None, trackers: Sequence[Tracker], parent: QWidget) -> None:
        """Builds the question.

        Args:
            request: the sweep.
            trial_count: of it.
            batch_limit: batches of an epoch that a trial takes at most; None for all.
            trackers: that the script may use.
            parent: the window before which the question stands.
        """
        super().__init__(parent)
        self.wants_arguments = False
        self.setWindowTitle("Try settings in the training")
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        title = QLabel(f"<b>Run this training {'once' if trial_count == 1 else f'{trial_count} times'}?</b>")
        self.command = QLineEdit(command_text(request))
        self.command.setReadOnly(True)
        self.command.setCursorPosition(0)
        self.command.setAccessibleName("The command that each trial runs")
        layout.addWidget(title)
        layout.addWidget(self.command)
        size = f"{count_text(trial_count, 'trial')} × {training_batches_text(batch_limit, request.epochs)}"
        for text in (f"in {request.cwd or os.getcwd()}", size, WARNING, SCRATCH_ADVICE):
            layout.addWidget(self._words(text))
        self.change_arguments = QPushButton("Change the arguments…")
        self.change_arguments.clicked.connect(self._change_arguments)
        layout.addWidget(self.change_arguments, 0, Qt.AlignmentFlag.AlignLeft)
        self.boxes = {tracker: self._box(tracker, request) for tracker in trackers}
        if self.boxes:
            layout.addWidget(self._words("The script imports what may upload. Tick what is to stay offline:"))
            for box in self.boxes.values():
                layout.addWidget(box)
        note = self._words(ENVIRONMENT_ADVICE)
        note.setProperty("role", "muted")
        layout.addWidget(note)
        buttons = QDialogButtonBox()
        self.run_button = buttons.addButton("Run the training", QDialogButtonBox.ButtonRole.AcceptRole)
        self.cancel_button = buttons.addButton("Cancel", QDialogButtonBox.ButtonRole.RejectRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)
        self.run_button.setAutoDefault(False)
        self.run_button.setDefault(False)
        self.change_arguments.setAutoDefault(False)
        self.cancel_button.setDefault(True)
        self.cancel_button.setFocus()
        self.setMinimumWidth(520)

    def chosen_variables(self) -> dict[str, str]:
        """Returns the variables of the trackers that the user ticked."""
        return {tracker.variable: tracker.value for tracker, box in self.boxes.items() if box.isChecked() and box.isEnabled()}

    def _change_arguments(self) -> None:
        self.wants_arguments = True
        self.reject()

    @staticmethod
    def _words(text: str) -> QLabel:
        label = QLabel(text)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        return label

    @staticmethod
    def _box(tracker: Tracker, request: Request) -> QCheckBox:
        """Returns the box of a tracker; it is fixed where the user has set the variable already, perhaps to another value."""
        title = tracker.title.replace("&", "&&")  # a single one would underline the next letter
        given = {**os.environ, **request.environment_variables}.get(tracker.variable)
        if given is not None:
            box = QCheckBox(f"{title}: {tracker.variable}={given} is set already")
            box.setChecked(given == tracker.value)
            box.setEnabled(False)
            return box
        box = QCheckBox(f"{title} {tracker.effect} ({tracker.variable}={tracker.value})")
        box.setChecked(tracker.is_suggested)
        return box


class TrainingConsent:
    """Remembers for which trainings the user has agreed, with the variables that they chose."""

    def __init__(self, settings: QSettings, window: QWidget, change_arguments: Callable[[], object]) -> None:
        """Asks nothing yet.

        Args:
            settings: of the window.
            window: the question stands before it.
            change_arguments: leads the user to the script's arguments.
        """
        self._settings, self._window, self._change_arguments = settings, window, change_arguments

    def forget(self) -> None:
        """Forgets all trainings, so that the user is asked again about each."""
        self._settings.remove(SETTINGS_KEY)

    def ask(self, request: Request, trial_count: int, batch_limit: int | None, imports: Sequence[str]) -> Request | None:
        """Returns the request to run, with the variables of trackers; None if the user does not agree.

        Args:
            request: the sweep.
            trial_count: of it.
            batch_limit: batches of an epoch that a trial takes at most; None for all.
            imports: modules that the script imported when it was read.
        """
        key = training_key(request)
        remembered = self._remembered()
        if key not in remembered:
            modules = {name.partition(".")[0] for name in imports} | _imports_of(request.script)
            question = TrainingQuestion(request, trial_count, batch_limit, trackers_of(modules), self._window)
            if question.exec() != QDialog.DialogCode.Accepted:
                if question.wants_arguments:
                    self._change_arguments()
                return None
            remembered[key] = question.chosen_variables()
            latest = dict(list(remembered.items())[-MOST_REMEMBERED:])
            self._settings.setValue(SETTINGS_KEY, json.dumps(latest))
        variables = {**remembered[key], **request.environment_variables}
        return dataclasses.replace(request, environment_variables=variables)

    def _remembered(self) -> dict[str, dict[str, str]]:
        try:
            stored = json.loads(str(self._settings.value(SETTINGS_KEY, "{}")))
        except ValueError:  # somebody has edited the settings
            return {}
        return stored if isinstance(stored, dict) and all(isinstance(value, dict) for value in stored.values()) else {}


def training_key(request: Request) -> str:
    """Returns what identifies a training: its script's content, name and arguments, and its folder."""
    try:
        content = Path(request.script).read_bytes()
    except OSError:
        content = b""
    facts = [request.script, request.module, list(request.script_args), request.cwd or os.getcwd()]
    return hashlib.sha256(content + json.dumps(facts).encode()).hexdigest()


def command_text(request: Request) -> str:
    """Returns the command that runs the training, as somebody would type it."""
    script = [MODULE_OPTION, request.module] if request.module is not None else [request.script]
    return shlex.join([request.python or Path(sys.executable).name, *script, *request.script_args])


def _imports_of(script: str) -> set[str]:
    """Returns the modules that a script imports, and those that the modules beside it import which it imports itself."""
    own = imported_modules(_text_of(script))
    folder = Path(script).parent
    beside = [folder / f"{name}.py" for name in own if (folder / f"{name}.py").is_file()]
    return own.union(*(imported_modules(_text_of(str(path))) for path in beside))


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
