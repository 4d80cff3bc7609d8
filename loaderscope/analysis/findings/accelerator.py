"""Finds whether the loader would keep an accelerator busy that takes the simulated step's time for a batch."""

from __future__ import annotations

import math

from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.measures import PASS_MARK
from loaderscope.facts.text import enumerated, share_text


def find(context: Context) -> list[Finding]:
    """Returns whether the subject passes the mark, and which other settings do."""
    subject, consumer = context.subject, context.consumer
    if subject is None or subject.accelerator_share is None or consumer is None or consumer.ms is None:
        return []
    share, name = subject.accelerator_share, context.name_of(subject.config)
    passes = share >= PASS_MARK
    verdict = f"passes the mark of {share_text(PASS_MARK)}" if passes else f"misses the mark of {share_text(PASS_MARK)}"
    busy = _share_beside_mark(share)
    message = f"An accelerator that needs {consumer.ms:g} ms a batch would be busy {busy} of the time with {name}: {verdict}."
    others = [
        setting
        for setting in context.settings
        if setting.config != subject.config and setting.accelerator_share is not None and setting.accelerator_share >= PASS_MARK
    ]
    advice = ""
    if not passes:
        fewest = min((setting.config.num_workers for setting in others), default=None)
        cheapest = [setting for setting in others if setting.config.num_workers == fewest]
        names = enumerated([context.name_of(setting.config) for setting in cheapest])
        advice = f"It is passed with {names}." if cheapest else "No measured setting passes it."
    evidence = {"accelerator_share": share, "step_ms": consumer.ms, "mark": PASS_MARK, "passes": passes}
    return [Finding("accelerator-kept-busy" if passes else "accelerator-idles", "info", subject.trials, message, evidence, advice)]


def _share_beside_mark(share: float) -> str:
    """Returns the share as text, never rounded up to the mark that it misses."""
    text = share_text(share)
    return f"{math.floor(share * 1000) / 10:.1f} %" if share < PASS_MARK and text == share_text(PASS_MARK) else text
