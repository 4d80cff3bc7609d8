"""Records the warnings and log messages of the user's code in the process that emits them, without changing what is shown.

It records what passes the user's own filters and levels: Python warnings when they are about to be shown, and records of
`logging` from WARNING on when they are about to reach handlers. Each is one record in the event log, so that a SIGKILL loses
none. Each text is written once, up to `MAX_TEXTS` different texts of a process.

`warnings` and `logging` are hooked once the user's code has imported them, never before.
"""

from __future__ import annotations

import _thread
import os
import time
from types import BuiltinMethodType
from typing import Any, Callable, Dict, Optional, Tuple

from . import recorder
from .eventlog import EventLog
from .import_hook import when_imported
from .layout import MAIN_THREAD, NO_NAME, REST, State, warning_name
from .patches import Patches, hide_frame

MAX_TEXTS = 300
"""How many different texts of a process are kept."""
MAX_TEXTS_OF_A_PLACE = 20
"""The same for one line of code and one kind: texts that name their sample would else fill the limit. The rest is counted."""
MAX_CHARACTERS = 2000
"""How many characters of a text are kept."""

_WARNING_LEVEL = 30
_LEVELS = {30: "WARNING", 40: "ERROR", 50: "CRITICAL"}  # a level's name may hold the colours of a terminal
_WARNED_KIND = recorder.instant_kind(State.WARNED)

Function = Callable[..., Any]
_Key = Tuple[str, str, Any, str]
"""Kind, file, line, text."""


class _ThreadNotes(_thread._local):
    """What this module is doing in a thread."""

    def __init__(self) -> None:
        self.shown: Optional[_Key] = None  # the warning that `showwarning` of the user or of logging shows now
        self.is_noting = False


_thread_notes = _ThreadNotes()
_log: Optional[EventLog] = None  # the log to which the numbers belong
_numbers: Dict[_Key, int] = {}
_texts_of_place: Dict[Tuple[str, str, Any], int] = {}


def install(patches: Patches) -> None:
    """Hooks the two modules, each as soon as it is imported."""
    when_imported("warnings", lambda module: patches.wrap(module, "_showwarnmsg", lambda original: _wrap_show(original, module)))
    when_imported("logging", lambda module: patches.wrap(module.Logger, "callHandlers", _wrap_call_handlers))


def _wrap_show(original: Function, warnings: Any) -> Function:
    plain_show = warnings._showwarning_orig
    get_context = getattr(warnings, "_get_context", None)  # since Python 3.14

    def is_collected() -> bool:
        """Whether warnings go into a list now (`catch_warnings(record=True)`) and are not shown."""
        show = warnings._showwarnmsg_impl
        if type(show) is BuiltinMethodType and isinstance(show.__self__, list):
            return True
        return get_context is not None and getattr(get_context(), "log", None) is not None

    def _showwarnmsg(msg: Any) -> Any:
        if recorder.log is None:
            return original(msg)
        try:
            text = str(msg.message)
        except Exception as error:  # the border to the user's code: showing the text will raise the same
            text = _unreadable_text(error)
        key = (msg.category.__name__, msg.filename, msg.lineno, text)
        show = getattr(warnings, "showwarning", plain_show)
        if show is plain_show:
            if not is_collected():
                _record_text(key)
            return original(msg)
        if not _is_of_logging(show) or msg.file is not None:
            _record_text(key)
        _thread_notes.shown = key
        try:
            return original(msg)
        except BaseException as error:
            hide_frame(error)
            raise
        finally:
            _thread_notes.shown = None

    return _showwarnmsg


def _is_of_logging(show: Any) -> bool:
    """Whether `logging.captureWarnings(True)` has set `show`: then a logger decides whether the warning is shown."""
    return getattr(show, "__module__", None) == "logging"


def _wrap_call_handlers(original: Function) -> Function:
    def callHandlers(self: Any, record: Any) -> Any:  # noqa: N802 - logging's name for it
        if recorder.log is not None and record.levelno >= _WARNING_LEVEL:
            _record_log_message(record)
        return original(self, record)

    return callHandlers


def _record_log_message(record: Any) -> None:
    shown = _thread_notes.shown
    if shown is not None:
        if record.name == "py.warnings":
            _record_text(shown)
        return  # another message from within `showwarning` repeats the same warning
    if record.process is not None and record.process != os.getpid():  # the process that emitted it has recorded it
        return
    try:
        text = record.getMessage()
    except Exception as error:
        text = _unreadable_text(error)
    _record_text((_LEVELS.get(record.levelno) or str(record.levelname), record.pathname, record.lineno, text))


def _unreadable_text(error: Exception) -> str:
    return "its text cannot be told (%s)" % type(error).__name__


def _record_text(key: _Key) -> None:
    """Writes a WARNED record; for a known text this costs one look-up in a dictionary."""
    log, thread = recorder.log, recorder.threads.activity.thread
    number = _numbers.get(key) if log is _log else None
    if number is None:
        number = _number_new_text(log, key)
    # Not `write`, which would postpone the dump of the stacks: a process that repeats a warning may hang all the same.
    recorder.write_at(time.perf_counter_ns(), _WARNED_KIND, number, 0, thread if thread >= 0 else MAIN_THREAD)


def _number_new_text(log: Optional[EventLog], key: _Key) -> int:
    """Numbers a new text; returns the number of its place's rest beyond that limit, and NO_NAME beyond the limit of the process."""
    global _log
    if log is None or _thread_notes.is_noting:  # a finalizer or signal handler warns while this runs
        return NO_NAME
    if log is not _log:
        _numbers.clear()
        _texts_of_place.clear()
        _log = log
    kind, file, line, text = key
    if len(text) > MAX_CHARACTERS:
        text = text[:MAX_CHARACTERS] + "…"
        key = (kind, file, line, text)
    place = kind, file, line
    if _texts_of_place.get(place, 0) >= MAX_TEXTS_OF_A_PLACE:
        key, text = (kind, file, line, REST), REST
    else:
        text = text or "(no text)"
    number = _numbers.get(key, NO_NAME)
    if number != NO_NAME or len(_numbers) >= MAX_TEXTS:
        return number
    _thread_notes.is_noting = True
    try:
        number = _numbers[key] = log.add_name(warning_name(kind, "%s:%s" % (file, line) if file else "", text))
        _texts_of_place[place] = _texts_of_place.get(place, 0) + 1
        log.flush_names()
    finally:
        _thread_notes.is_noting = False
    return number
