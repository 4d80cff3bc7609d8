"""Asks the user for file names and decisions, and saves sessions and reports."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QSettings, SignalInstance
from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

from loaderscope.facts.text import count_text, enumerated
from loaderscope.gui.panels.target_panel import SCRIPT_FILTER
from loaderscope.session.file import SessionError, SessionFile
from loaderscope.sweep.changed_files import MOST_NAMED

SESSION_SUFFIX = ".loaderscope"
SESSION_FILTER = "Loaderscope sessions (*.loaderscope)"
REPORT_FILTER = "Reports (*.html);;PDF documents (*.pdf);;Pictures (*.png *.svg)"

_ENDING = re.compile(r"\*(\.\w+)")


class SaveError(Exception):
    """A file could not be written; the message is one sentence for the user."""


class Dialogs:
    """The questions of a window. File dialogs begin in the folder used last."""

    def __init__(self, window: QWidget, settings: QSettings) -> None:
        self._window = window
        self._settings = settings

    def script(self) -> str:
        """Asks for a script to open; returns its path, or an empty text."""
        return self._open("Open script", SCRIPT_FILTER)

    def session(self) -> str:
        """Asks for a session to open; returns its path, or an empty text."""
        return self._open("Open session", SESSION_FILTER)

    def save(self, title: str, name: str, file_filter: str) -> str:
        """Asks for a file to write; returns a path with an ending of the filter, or an empty text."""
        path, kind = QFileDialog.getSaveFileName(self._window, title, str(Path(self._folder()) / name), file_filter)
        if not path:
            return ""
        self._remember(path)
        target = with_ending(path, kind, file_filter)
        return target if target == path or not Path(target).exists() or self._may_replace(Path(target)) else ""

    def _may_replace(self, target: Path) -> bool:
        """Asks whether to replace a file; the file dialog did not ask, because the ending was added afterwards."""
        buttons = QMessageBox.StandardButton
        question = f"{target.name} exists already. Replace it?"
        return QMessageBox.question(self._window, "Loaderscope", question, buttons.Yes | buttons.No, buttons.No) == buttons.Yes

    def unsaved(self, running: bool, has_results: bool) -> str:
        """Asks what to do with a running sweep or with unsaved results; returns `save`, `discard` or `cancel`."""
        box = self._question("The sweep is still running. Stop it?" if running else "This session is not saved.")
        buttons = QMessageBox.StandardButton
        if has_results:
            box.setInformativeText(f"Its {'finished trials' if running else 'results'} are lost unless you save them.")
            box.setStandardButtons(buttons.Save | buttons.Discard | buttons.Cancel)
            box.setDefaultButton(buttons.Save)
        else:
            box.setInformativeText("No trial has finished yet, so there is nothing to save.")
            box.setStandardButtons(buttons.Discard | buttons.Cancel)
            box.button(buttons.Discard).setText("Stop")
            box.setDefaultButton(buttons.Cancel)
        return {buttons.Save: "save", buttons.Discard: "discard"}.get(buttons(box.exec()), "cancel")

    def training_running(self) -> str:
        """Asks what becomes of a training whose recording is to end; returns `stop`, `leave` or `keep`."""
        box = self._question("The training is still running.")
        box.setInformativeText("It can go on without Loaderscope; its recording then ends here.")
        roles = QMessageBox.ButtonRole
        keep = box.addButton("Keep recording", roles.RejectRole)
        leave = box.addButton("Let it run on", roles.AcceptRole)
        stop = box.addButton("Stop the training", roles.DestructiveRole)
        box.setDefaultButton(keep)
        box.setEscapeButton(keep)
        box.exec()
        clicked = box.clickedButton()
        return "leave" if clicked is leave else "stop" if clicked is stop else "keep"

    def files_changed(self, files: list[str], ended: SignalInstance) -> bool:
        """Asks whether a sweep goes on whose first trial has changed files; returns whether it does."""
        box = self._question(f"The first trial changed {count_text(len(files), 'file')} in the working folder.")
        box.setInformativeText(
            f"{enumerated(files, MOST_NAMED)}. Each further trial may change them again. Stop, and have the script write elsewhere?"
        )
        if len(files) > MOST_NAMED:
            box.setDetailedText("\n".join(files))
        roles = QMessageBox.ButtonRole
        go_on = box.addButton("Go on", roles.AcceptRole)
        stop = box.addButton("Stop the sweep", roles.RejectRole)
        box.setDefaultButton(stop)
        box.setEscapeButton(stop)
        ended.connect(box.reject)
        box.exec()
        ended.disconnect(box.reject)
        return box.clickedButton() is go_on

    def kill_training(self, ended: SignalInstance) -> bool:
        """Asks whether to kill a training that was sent Ctrl+C, until it has ended; returns whether to."""
        buttons = QMessageBox.StandardButton
        box = self._question("The training was sent Ctrl+C and has not ended yet. Kill it, with all processes that it started?")
        box.setStandardButtons(buttons.Yes | buttons.No)
        box.setDefaultButton(buttons.No)
        ended.connect(box.reject)
        answer = box.exec()
        ended.disconnect(box.reject)
        return buttons(answer) == buttons.Yes

    def wait_for_training(self, ended: SignalInstance) -> str:
        """Waits for a training that was sent Ctrl+C; returns `ended`, or what the user chose meanwhile: `kill` or `keep`."""
        box = QMessageBox(self._window)
        box.setWindowTitle("Loaderscope")
        box.setText("Waiting until the training has ended.")
        box.setInformativeText("It was sent Ctrl+C. What it does then, such as saving a checkpoint, may take a while.")
        roles = QMessageBox.ButtonRole
        keep = box.addButton("Keep the window open", roles.RejectRole)
        kill = box.addButton("Kill it", roles.DestructiveRole)
        box.setDefaultButton(keep)
        box.setEscapeButton(keep)
        ended.connect(box.accept)
        box.exec()
        ended.disconnect(box.accept)
        clicked = box.clickedButton()
        return "keep" if clicked is keep else "kill" if clicked is kill else "ended"

    def _question(self, text: str) -> QMessageBox:
        box = QMessageBox(self._window)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Loaderscope")
        box.setText(text)
        return box

    def _open(self, title: str, file_filter: str) -> str:
        path, _ = QFileDialog.getOpenFileName(self._window, title, self._folder(), file_filter)
        self._remember(path)
        return path

    def _folder(self) -> str:
        return str(self._settings.value("folder", ""))

    def _remember(self, path: str) -> None:
        if path:
            self._settings.setValue("folder", str(Path(path).parent))


def with_ending(path: str, kind: str, file_filter: str) -> str:
    """Returns a path with an ending of the filter: its own, else the first ending of the chosen kind is added.

    Any other text after a dot stays, because it may be part of the name.
    """
    endings = _ENDING.findall(file_filter)
    return path if Path(path).suffix.lower() in endings else path + (_ENDING.findall(kind) or endings)[0]


class SaveActions:
    """Writes sessions and reports, and tells the user whether that succeeded."""

    def __init__(self, dialogs: Dialogs, show_done: Callable[[str], object], show_problem: Callable[[str], object]) -> None:
        self._dialogs = dialogs
        self._show_done = show_done
        self._show_problem = show_problem

    def session(self, source: Path, path: str | None = None) -> Path | None:
        """Copies a complete session file; asks for a path if none is given. Returns the copy, or None if nothing was saved."""
        path = path or self._dialogs.save("Save session", source.name, SESSION_FILTER)
        return self._write(lambda: copy_session(source, path), "Saved as") if path else None

    def report(self, source: Path) -> Path | None:
        """Asks for a path and writes the report of a session file; the suffix chooses the format."""
        path = self._dialogs.save("Save report", f"{source.stem}.html", REPORT_FILTER)
        return self._write(lambda: write_report_of(source, path), "Report written to") if path else None

    def _write(self, write: Callable[[], Path], done: str) -> Path | None:
        try:
            target = write()
        except SaveError as error:
            self._show_problem(str(error))
            return None
        self._show_done(f"{done} {target}")
        return target


def copy_session(source: Path, path: str) -> Path:
    """Copies a complete session file to a path, to which it adds the suffix of sessions if that is missing.

    Raises:
        SaveError: the copy could not be written.
    """
    target = Path(path)
    if target.suffix != SESSION_SUFFIX:
        target = target.with_name(target.name + SESSION_SUFFIX)
    part = target.with_name(target.name + ".part")
    try:
        if target.resolve() != source.resolve():
            with SessionFile.open(source) as session:
                session.copy_to(part)
            part.replace(target)  # whole or not at all: an older file stays until the new one is complete
    except (OSError, SessionError) as error:
        part.unlink(missing_ok=True)
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SaveError(f"The session could not be saved: {reason.rstrip('.')}.") from error
    return target


def write_report_of(source: Path, path: str) -> Path:
    """Writes the report of a session file; the suffix chooses the format.

    Raises:
        SaveError: the report could not be written.
    """
    from loaderscope.gui.report.write_report import write_report  # rarely needed, so it does not delay the start of the window

    try:
        write_report(source, [Path(path)])
    except (OSError, ValueError, SessionError) as error:
        raise SaveError(f"The report could not be written: {error}.") from error
    return Path(path)
