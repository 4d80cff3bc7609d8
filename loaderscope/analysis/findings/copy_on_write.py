"""Finds pages that forked workers copy because they read Python objects, whose reference counts lie beside the data."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding, Remedy
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.startup_results import SentPart
from loaderscope.facts.text import bytes_text

CODE = "copy-on-write"
GROWTH_KIND = "copy-on-write"
"""`Memory.growth_kind` of such growth."""
MIN_COPIED_BYTES = 32 << 20
"""Copies of one worker, or of all while they go on: a forked worker that reads nothing has about 10 MiB of its own."""
MIN_ATTRIBUTE_SHARE = 0.5
"""An attribute is named if it holds so much of the pickled bytes of all Python objects of the dataset."""
_PLAIN_TYPES = ("ndarray", "memmap", "Tensor", "bytes", "bytearray", "array", "str", "Table", "ChunkedArray")
"""Types whose data hold no reference counts."""


def find(context: Context) -> list[Finding]:
    """Returns one finding about the subject if its workers copy, else about the trial whose workers copy most."""
    copying = [trial for trial in context.good if is_copying(trial)]
    if not copying:
        return []
    subject = context.subject
    worst = max(copying, key=lambda trial: (subject is not None and trial.config == subject.config, sum(_copied_bytes(trial))))
    setting = next(one for one in context.settings if one.config == worst.config)
    spawned = _spawned(context, setting)
    part = _attribute(context.sent)
    gain = context.gain_between(setting, spawned) if spawned is not None else None
    rate = worst.signs.growth_bytes_per_s if worst.signs is not None else None
    remedy, config = (None, None) if spawned is not None else _remedy(context, setting)
    return [
        Finding(
            code=CODE,
            severity="warning",
            trials=[trial.id for trial in copying],
            message=_message(context, worst, part) + _comparison(context, setting, spawned),
            evidence={
                "copied_bytes": _copied_bytes(worst),
                "min_copied_bytes": MIN_COPIED_BYTES,
                "growth_bytes_per_s": rate,
                "growth_kind": worst.memory.growth_kind if worst.memory is not None else None,
                "attribute": part.attribute if part is not None else None,
                "attribute_bytes": part.bytes if part is not None else None,
            },
            advice=(
                "Keep long lists of strings or objects as NumPy arrays, one tensor, or one bytes object with offsets: reading these "
                "changes no reference counts."
            ),
            gain_s=gain if gain is not None and gain.value > 0 else None,
            change=_change(part),
            remedy=remedy,
            config=config,
        )
    ]


def is_copying(trial: TrialResult) -> bool:
    """Whether a worker copied many pages of the process that forked it, or all of them together did and go on with it."""
    copied = _copied_bytes(trial)
    goes_on = trial.memory is not None and trial.memory.growth_kind == GROWTH_KIND
    return max(copied, default=0) >= MIN_COPIED_BYTES or (goes_on and sum(copied) >= MIN_COPIED_BYTES)


def _copied_bytes(trial: TrialResult) -> list[int]:
    """Returns what each worker copied."""
    return [worker.copied_bytes or 0 for worker in trial.memory.workers] if trial.memory is not None else []


def _attribute(sent: list[SentPart] | None) -> SentPart | None:
    """Returns the attribute of the dataset that holds most of its Python objects, if one does."""
    parts = [part for part in sent or () if part.owner == "dataset" and part.type_name.split(" ")[0] not in _PLAIN_TYPES]
    largest = max(parts, key=lambda part: part.bytes, default=None)
    return largest if largest is not None and largest.bytes >= MIN_ATTRIBUTE_SHARE * sum(part.bytes for part in parts) > 0 else None


def _change(part: SentPart | None) -> str:
    """Returns the line that keeps a list in one block of memory; a dictionary has no such line."""
    if part is not None and part.type_name.split(" ")[0] not in ("list", "tuple"):
        return ""
    name = "rows" if part is None else part.attribute.rpartition(".")[2]
    return f"self.{name} = np.array(self.{name})  # strings of one length, or numbers: one block of memory"


def _message(context: Context, trial: TrialResult, part: SentPart | None) -> str:
    copied = _copied_bytes(trial)
    objects = "Python objects" if part is None else f"{part.attribute} (a {part.type_name}, {bytes_text(part.bytes)} pickled)"
    likely = "" if part is None else "most likely "
    return (
        f"With {context.name_of(trial.config)} a worker copies up to {bytes_text(max(copied))} of pages that it shared with the "
        f"main process since the fork, and all of them {bytes_text(sum(copied))} (copy-on-write). It is no new memory: reading "
        f"{likely}{objects} changes their reference counts, which lie in these pages."
    )


def _spawned(context: Context, setting: SettingResult) -> SettingResult | None:
    config = dataclasses.replace(setting.config, start_method="spawn")
    measured = [*context.settings, *context.remedied(CODE)]
    return next((one for one in measured if one.config == config and one.rate is not None), None)


def _comparison(context: Context, setting: SettingResult, spawned: SettingResult | None) -> str:
    """Returns a sentence on fork against spawn, by rate and memory."""
    if spawned is None or spawned.rate is None or setting.rate is None or not setting.rate.value:
        return ""
    memory = ""
    if spawned.peak_total_bytes is not None and setting.peak_total_bytes is not None:
        memory = f", with {bytes_text(spawned.peak_total_bytes)} of memory in all instead of {bytes_text(setting.peak_total_bytes)}"
    return f" {context.name_of(spawned.config)} gives {spawned.rate.value / setting.rate.value:.2f} times the throughput{memory}."


def _remedy(context: Context, setting: SettingResult) -> tuple[Remedy | None, TrialConfig | None]:
    """Returns the trial that shows what spawn gives: it copies everything at the start, and nothing while it reads."""
    if context.recorded is not None or "spawn" not in (context.environment.get("start_methods") or ()):
        return None, None
    return Remedy(CODE, 'multiprocessing_context="spawn"'), dataclasses.replace(setting.config, start_method="spawn")
