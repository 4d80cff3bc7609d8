"""Finds workers that fail or hang because they share an open file, a connection or a lock of the dataset since the fork.

The evidence is a failure with fork, the handle, and no such failure with 0 workers or another start method where these were run. The
failure must come from the handle: a line of code in its traceback uses it, or a frame is in its library. Else an exception counts only
beside a success without fork, and if it is one that misread data gives.
"""

from __future__ import annotations

import dataclasses
import re

from loaderscope.agent.error_sentences import LIMIT, MAIN_GUARD, NOT_PICKLABLE, UNSUPPORTED
from loaderscope.agent.messages import ErrorInfo, SharedHandle, TrialConfig
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding, Remedy
from loaderscope.facts.results import TrialResult
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import enumerated

CODE = "shared-handle"
_LOCK = "lock"
_OTHER_KINDS = (LIMIT, MAIN_GUARD, NOT_PICKLABLE, UNSUPPORTED, "agent-died")
"""Failures that have causes of their own."""
_MISREAD = (
    "BadZipFile", "ReadError", "EOFError", "OSError", "BlockingIOError", "UnpicklingError", "UnicodeDecodeError", "JSONDecodeError",
    "UnidentifiedImageError", "LZMAError", "BadGzipFile", "error",
)  # fmt: skip
"""Names of exceptions that readers raise when they find bytes of another place (`error` is that of zlib and struct)."""
_FRAME_LINE = re.compile(r'^\s*File "', re.MULTILINE)


def find(context: Context) -> list[Finding]:
    """Returns one finding about the handle that most failures name."""
    without_fork = [trial for trial in context.trials if not _forks(trial.config)]
    if any(status_of(trial.status).is_failure and not _is_of_other_kind(trial.error) for trial in without_fork):
        return []
    works = [trial for trial in without_fork if trial.status == "ok"]
    culprits: dict[SharedHandle, list[TrialResult]] = {}
    for trial in context.trials:
        if (handle := _culprit(trial, bool(works))) is not None:
            culprits.setdefault(handle, []).append(trial)
    if not culprits:
        return []
    handle, trials = max(culprits.items(), key=lambda culprit: len(culprit[1]))
    return [_about(context, handle, trials, works)]


def _forks(config: TrialConfig) -> bool:
    return config.num_workers > 0 and config.backend != "thread" and config.start_method == "fork"


def _is_of_other_kind(error: ErrorInfo | None) -> bool:
    return error is not None and error.kind in _OTHER_KINDS


def _culprit(trial: TrialResult, works_without_fork: bool) -> SharedHandle | None:
    """Returns the handle that makes a trial fail; None if it did not fail, or if nothing shows that a handle is why."""
    error = trial.error
    if error is None or not status_of(trial.status).is_failure or _is_of_other_kind(error) or not error.handles:
        return None
    hangs = trial.status == "timeout"
    handles = [handle for handle in error.handles if hangs or handle.kind != _LOCK]
    named = next((handle for handle in handles if _is_named(handle, error.traceback)), None)
    if named is not None:
        return named
    may_be = works_without_fork and error.kind in _MISREAD
    return handles[0] if may_be and len(handles) == 1 else None


def _is_named(handle: SharedHandle, traceback: str) -> bool:
    """Whether a line of code in the traceback uses the handle, or a frame is in its library."""
    name = re.escape(handle.name)
    in_code = re.compile(rf"\.{name}\b" if handle.owner else rf"(?<![\w.]){name}\b")
    if handle.name and any(in_code.search(line) for line in traceback.splitlines() if not _FRAME_LINE.match(line)):
        return True
    library = re.escape(handle.type_name.partition(".")[0]) if "." in handle.type_name else ""
    return bool(library and re.search(rf'^\s*File "[^"]*[\\/]{library}(?:\.py|[\\/])', traceback, re.MULTILINE))


def _about(context: Context, handle: SharedHandle, trials: list[TrialResult], works: list[TrialResult]) -> Finding:
    error = trials[0].error
    assert error is not None
    shown = enumerated(list(dict.fromkeys(context.name_of(trial.config) for trial in trials)))
    made = "" if handle.file is None else f", made at {_base(handle.file)}:{handle.line}"
    verb = "hang" if trials[0].status == "timeout" else "fail"
    if works:
        proof = f"{context.name_of(works[0].config)} does not {verb}."
        proof = proof[:1].upper() + proof[1:]
    else:
        proof = "Neither 0 workers nor another start method were run, which would show whether that is why."
    cause = "share" if works else "share, which may be why,"
    return Finding(
        code=CODE,
        severity="error",
        trials=[trial.id for trial in trials],
        message=(
            f"With {shown} forked workers {verb}. They {cause} {handle.path} ({handle.type_name}{made}), which was open before the fork: "
            f"{error.message.rstrip('.')}. {proof}"
        ),
        evidence={
            "error": error.kind,
            "file": error.file,
            "line": error.line,
            "attribute": handle.path,
            "class": handle.type_name,
            "kind": handle.kind,
            "made_file": handle.file,
            "made_line": handle.line,
            "trials_without_fork": [trial.id for trial in works],
        },
        advice=(
            "Make the lock in the worker, at its first use or in worker_init_fn."
            if handle.kind == _LOCK
            else "Open it in the worker, at the first __getitem__ or in worker_init_fn, so that each worker has one of its own."
        ),
        change=_change(handle),
        remedy=(remedy := _remedy(context)),
        config=dataclasses.replace(trials[0].config, start_method="spawn") if remedy is not None else None,
    )


def _change(handle: SharedHandle) -> str:
    """Returns code that makes the handle in the worker."""
    _, separator, maker = handle.code.partition("=")
    maker = maker.strip() if separator else f"...  # make the {handle.type_name} here"
    name = f"self.{handle.name}" if handle.owner else handle.name
    where = "" if handle.line is None else f"  # line {handle.line}"
    lines = [f"{name} = None{where}", "# in __getitem__, before its first use:"]
    lines += [] if handle.owner else [f"global {handle.name}"]
    return "\n".join([*lines, f"if {name} is None:", f"    {name} = {maker}"])


def _remedy(context: Context) -> Remedy | None:
    """Returns what a trial can test: spawn, unless it was run, or cannot work because the dataset cannot be pickled."""
    was_run = any(trial.config.start_method == "spawn" for trial in context.trials)
    is_refused = any(part.refused for part in context.sent or ())
    has_spawn = "spawn" in (context.environment.get("start_methods") or ())
    return None if was_run or is_refused or not has_spawn else Remedy(CODE, "start_method=spawn")


def _base(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2]
