"""Notes what the user's code warns of and logs, in the process where it does so; nothing of it is changed or shown otherwise.

Noted is what passes the user's own filters and levels: Python warnings where they are about to be shown, and records of
`logging` from WARNING on where they are about to be handed to handlers. Each is one record in the log of events, so that a
SIGKILL loses none; its text is written once, and only so many different texts of a process are kept.

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

MOST_TEXTS = 300
"""Different texts of a process that are kept."""
MOST_TEXTS_OF_A_PLACE = 20
"""Of one line of code and kind; a text that tells its sample would else take the place of all others. The rest is counted."""
MOST_CHARACTERS = 2000
"""Of one text."""

_WARNING_LEVEL = 30
_LEVELS = {30: "WARNING", 40: "ERROR", 50: "CRITICAL"}  # a level's name may hold the colours of a terminal
_NOTED = recorder.instant_kind(State.WARNED)

Function = Callable[..., Any]
_Key = Tuple[str, str, Any, str]
"""Kind, file, line, text."""


class _Here(_thread._local):
    """What a thread is at."""

    def __init__(self) -> None:
        self.shown: Optional[_Key] = None  # the warning that a function of the user's, or of logging, shows at this moment
        self.is_noting = False


_here = _Here()
_log: Optional[EventLog] = None  # to which the numbers belong
_numbers: Dict[_Key, int] = {}
_texts_of_place: Dict[Tuple[str, str, Any], int] = {}


def install(patches: Patches) -> None:
    """Hooks the two modules, each as soon as it is there."""
    when_imported("warnings", lambda module: patches.wrap(module, "_showwarnmsg", lambda original: _wrap_show(original, module)))
    when_imported("logging", lambda module: patches.wrap(module.Logger, "callHandlers", _wrap_call_handlers))


def _wrap_show(original: Function, warnings: Any) -> Function:
    plain_show = warnings._showwarning_orig
    get_context = getattr(warnings, "_get_context", None)  # since Python 3.14

    def is_collected() -> bool:
        """Whether warnings go into a list now (`catch_warnings(record=True)`), so that nobody is shown them."""
        show = warnings._showwarnmsg_impl
        if type(show) is BuiltinMethodType and isinstance(show.__self__, list):
            return True
        return get_context is not None and getattr(get_context(), "log", None) is not None

    def _showwarnmsg(msg: Any) -> Any:
        if recorder.log is None:
            return original(msg)
        try:
            text = str(msg.message)
        except Exception as error:  # the border to the user's code: whoever shows the text meets the same
            text = _untold(error)
        key = (msg.category.__name__, msg.filename, msg.lineno, text)
        show = getattr(warnings, "showwarning", plain_show)
        if show is plain_show:
            if not is_collected():
                _note(key)
            return original(msg)
        if not _is_of_logging(show) or msg.file is not None:
            _note(key)
        _here.shown = key
        try:
            return original(msg)
        except BaseException as error:
            hide_frame(error)
            raise
        finally:
            _here.shown = None

    return _showwarnmsg


def _is_of_logging(show: Any) -> bool:
    """Whether it is what `logging.captureWarnings(True)` puts there: whether the warning is shown is up to a logger then."""
    return getattr(show, "__module__", None) == "logging"


def _wrap_call_handlers(original: Function) -> Function:
    def callHandlers(self: Any, record: Any) -> Any:  # noqa: N802 - logging's name for it
        if recorder.log is not None and record.levelno >= _WARNING_LEVEL:
            _note_record(record)
        return original(self, record)

    return callHandlers


def _note_record(record: Any) -> None:
    shown = _here.shown
    if shown is not None:
        if record.name == "py.warnings":
            _note(shown)
        return  # another record from within `showwarning` is the same warning in other words
    if record.process is not None and record.process != os.getpid():  # handed on by the process where it was noted
        return
    try:
        text = record.getMessage()
    except Exception as error:
        text = _untold(error)
    _note((_LEVELS.get(record.levelno) or str(record.levelname), record.pathname, record.lineno, text))


def _untold(error: Exception) -> str:
    return "its text cannot be told (%s)" % type(error).__name__


def _note(key: _Key) -> None:
    """Writes a record, in the time of a look into a dictionary where the text is known."""
    log, thread = recorder.log, recorder.threads.here.thread
    number = _numbers.get(key) if log is _log else None
    if number is None:
        number = _introduce(log, key)
    # Not `write`, which would postpone the dump of the stacks: one that warns that it tries again and again may hang all the same.
    recorder.write_at(time.perf_counter_ns(), _NOTED, number, 0, thread if thread >= 0 else MAIN_THREAD)


def _introduce(log: Optional[EventLog], key: _Key) -> int:
    """The number of a text that is new, or of all those that are too many."""
    global _log
    if log is None or _here.is_noting:  # a finalizer or a handler of signals that warns in the midst of this
        return NO_NAME
    if log is not _log:
        _numbers.clear()
        _texts_of_place.clear()
        _log = log
    kind, file, line, text = key
    if len(text) > MOST_CHARACTERS:
        text = text[:MOST_CHARACTERS] + "…"
        key = (kind, file, line, text)
    place = kind, file, line
    if _texts_of_place.get(place, 0) >= MOST_TEXTS_OF_A_PLACE:
        key, text = (kind, file, line, REST), REST
    else:
        text = text or "(no text)"
    number = _numbers.get(key, NO_NAME)
    if number != NO_NAME or len(_numbers) >= MOST_TEXTS:
        return number
    _here.is_noting = True
    try:
        number = _numbers[key] = log.add_name(warning_name(kind, "%s:%s" % (file, line) if file else "", text))
        _texts_of_place[place] = _texts_of_place.get(place, 0) + 1
        log.flush_names()
    finally:
        _here.is_noting = False
    return number
