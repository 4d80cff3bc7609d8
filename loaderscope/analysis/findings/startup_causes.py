"""Finds why workers start slowly: large pickles, heavy imports, slow lines of the script, starts one after another."""

from __future__ import annotations

from collections.abc import Callable

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.startup.culprit import (
    MIN_EXPLAINED_SHARE,
    MIN_NAMED_BYTES,
    dominating_part,
    pickling_s,
    unpickling_code_names,
    unpickling_code_s,
)
from loaderscope.analysis.startup.main_import import heaviest_branch, heaviest_line
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult
from loaderscope.facts.startup_results import SentPart, Startup
from loaderscope.facts.text import bytes_text, duration_text

MIN_SENT_S = 0.3
MIN_IMPORT_S = 1.0
MIN_IMPORT_SHARE = 0.4
"""Share of the time to the first batch."""
MIN_LINE_S = 0.5
LINE_REMEDY = 'Move it below `if __name__ == "__main__":` or into a function, or build it in the worker when it is first needed.'

Cause = Callable[[Context, SettingResult, Startup], Finding | None]


def find(context: Context) -> list[Finding]:
    """Returns at most one finding for each cause: about the subject if it is affected, else about the worst setting."""
    found = []
    for cause in (_large_pickle, _code_in_unpickling, _serial_starts, _expensive_line, _heavy_import):
        candidates = []
        for setting in context.settings:
            startups = [trial.startup for trial in context.trials_of(setting) if trial.startup is not None]
            finding = cause(context, setting, startups[0]) if startups else None
            if finding is not None:
                candidates.append((finding.severity == "warning", finding.evidence["seconds"], finding))
        found += [max(candidates, key=lambda candidate: candidate[:2])[2]] if candidates else []
    return found


def _large_pickle(context: Context, setting: SettingResult, startup: Startup) -> Finding | None:
    part = dominating_part(context.sent)
    pickles = _first_epoch_seconds(startup, "pickle")
    unpickle_s = max(_first_epoch_seconds(startup, "unpickle"), default=0.0) - _unpickling_import_s(startup)
    seconds = max(pickles, default=0.0) + unpickle_s
    if part is None or not pickles or seconds < MIN_SENT_S:
        return None
    if part.error is None and part.bytes < MIN_NAMED_BYTES and pickling_s(part) < MIN_EXPLAINED_SHARE * seconds:
        return None
    size = "" if not part.bytes else f", {bytes_text(part.bytes)}" if part.error is None else f", more than {bytes_text(part.bytes)}"
    named = f"{part.attribute} (a {part.type_name}{size})"
    message = (
        f"With {context.name_of(setting.config)} each worker is sent {named}: "
        f"{duration_text(max(pickles))} to pickle and {duration_text(unpickle_s)} to unpickle, for every worker."
    )
    if part.shared_bytes:
        message = (
            f"With {context.name_of(setting.config)} the {bytes_text(part.shared_bytes)} of {part.attribute} (a {part.type_name}) are "
            "moved into shared memory before the first worker starts; workers are sent a handle only. "
            f"That takes {duration_text(max(pickles))}, once."
        )
    evidence = {"attribute": part.attribute, "type_name": part.type_name, "bytes": part.bytes, "seconds": seconds}
    return Finding("large-pickle", context.severity_of_wait(setting), setting.trials, message, evidence, remedy(part))


def _code_in_unpickling(context: Context, setting: SettingResult, startup: Startup) -> Finding | None:
    seconds = max(_first_epoch_seconds(startup, "unpickle"), default=0.0)
    own_s = unpickling_code_s(seconds, startup.imports, context.sent)
    if own_s is None or own_s < MIN_SENT_S:
        return None
    code = unpickling_code_names(context.sent)
    message = (
        f"With {context.name_of(setting.config)} each worker takes {duration_text(seconds)} to unpickle what it is sent, "
        f"{duration_text(own_s)} of that in code that runs then: {code}."
    )
    advice = "Do there only what is quick, and the rest in the worker when the first sample is asked for."
    return Finding("slow-unpickle", context.severity_of_wait(setting), setting.trials, message, {"code": code, "seconds": own_s}, advice)


def _first_epoch_seconds(startup: Startup, phase: str) -> list[float]:
    """Returns the seconds of a phase in each process of the first epoch."""
    return [one.seconds for one in startup.phases if one.epoch == 0 and one.phase == phase]


def _unpickling_import_s(startup: Startup) -> float:
    """Returns the seconds of imports during unpickling."""
    return sum(cost.total_s for cost in startup.imports if cost.phase == "unpickle" and cost.parent is None)


def remedy(part: SentPart) -> str:
    """Returns a sentence on how to send less than this attribute."""
    container, _, element = part.type_name.partition(" of ")
    if part.shared_bytes:
        return "Save it to a file and map that into memory in the worker, at the first access (torch.load(path, mmap=True))."
    if part.attribute.endswith(".__getstate__()"):
        return "Prepare once what __getstate__ returns: it runs for every worker that starts."
    if container in ("ndarray", "memmap"):
        return (
            "Give the dataset the file's name and map it into memory in the worker, at the first access (np.load(path, mmap_mode='r')): "
            f"a {container} is sent with all that it holds."
        )
    if element == "str" or element.endswith("Path"):
        return (
            "Keep the strings in one NumPy or Arrow array of strings (paths relative to a root), "
            "or list them in the worker at its first access."
        )
    if container in ("list", "tuple", "dict", "set", "DataFrame", "OrderedDict", "defaultdict"):
        return (
            f"Keep it in NumPy or Arrow arrays instead of a {container} of Python objects, in a file that the workers map into memory, "
            "or build it in the worker at its first access."
        )
    return "Build it in the worker at its first access, and let the dataset hold only what that takes."


def _serial_starts(context: Context, setting: SettingResult, startup: Startup) -> Finding | None:
    starts = _first_epoch_seconds(startup, "start_worker")
    if not startup.serial_starts or len(starts) < 2:
        return None
    part = dominating_part(context.sent)
    message = (
        f"With {context.name_of(setting.config)} the workers start one after another, {duration_text(sum(starts))} for {len(starts)} of "
        "them: what each is sent does not fit into the pipe, so its start lasts until it has imported the script and reads."
    )
    advice = "Send less than the pipe holds (64 KiB on Linux), and workers start side by side." + (f" {remedy(part)}" if part else "")
    evidence = {"starts": len(starts), "seconds": sum(starts), "attribute": part.attribute if part else None}
    return Finding("serial-starts", context.severity_of_wait(setting), setting.trials, message, evidence, advice)


def _expensive_line(context: Context, setting: SettingResult, startup: Startup) -> Finding | None:
    line = heaviest_line(startup.lines)
    seconds = line.seconds - line.import_s if line is not None else 0.0
    if line is None or seconds < MIN_LINE_S:
        return None
    message = (
        f"With {context.name_of(setting.config)} every worker runs the script's top level again, and line {line.line} of it, "
        f"{line.text}, takes {duration_text(seconds)} there, imports not counted."
    )
    evidence = {"line": line.line, "text": line.text, "seconds": seconds}
    return Finding("expensive-top-level", context.severity_of_wait(setting), setting.trials, message, evidence, LINE_REMEDY)


def _heavy_import(context: Context, setting: SettingResult, startup: Startup) -> Finding | None:
    branch = heaviest_branch(startup.imports)
    if not branch or branch[0].total_s < max(MIN_IMPORT_S, MIN_IMPORT_SHARE * (setting.first_batch_s or 0.0)):
        return None
    root = branch[0]
    others = [cost for cost in startup.imports if cost.parent is None and cost is not root and cost.total_s >= 0.1]
    also = "".join(f", {cost.name} {duration_text(cost.total_s)}" for cost in sorted(others, key=lambda cost: -cost.total_s)[:3])
    named = f"{root.name} {duration_text(root.total_s)}{also}"
    message = f"With {context.name_of(setting.config)} every worker imports what the script and its dataset need: {named}."
    preload = f"--start-method forkserver --forkserver-preload {root.name}"
    if context.recorded is not None:
        preload = f'multiprocessing_context="forkserver"{context.at_place}, and multiprocessing.set_forkserver_preload(["{root.name}"])'
    advice = (
        f"Preload it in the fork server ({preload}), where the system has one; "
        "import what only the training needs inside the functions that need it or below the main guard."
    )
    why_not = context.server.why_not([root.name.partition(".")[0]]) if context.server is not None else None
    advice += f" {why_not}" if why_not is not None else ""
    evidence = {"imports": {cost.name: cost.total_s for cost in [root, *others]}, "seconds": root.total_s}
    return Finding("heavy-imports", context.severity_of_wait(setting), setting.trials, message, evidence, advice)
