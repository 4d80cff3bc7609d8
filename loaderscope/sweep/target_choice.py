"""Which of a script's targets is profiled, and which targets a run of the script adds."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import CapturedLoader, ErrorInfo, Target
from loaderscope.facts.captured import met_text
from loaderscope.sweep.ready_agent import CAPTURED, SweepError

NAMED = "the target names it"
"""Why a loader was captured that the user chose."""


def choose_target(targets: list[Target], name: str | None, arguments: dict[str, str], script: str) -> Target:
    """Returns the target called `name`; without a name, the only target of the best kind that the script has.

    A loader is better than a dataset, because it holds settings too; both are better than a loader that may appear when the script
    runs. Where there are several, the script shows which it uses when it runs.

    Raises:
        SweepError: there is no such target, or several; the sentence lists those that there are.
    """
    names = ", ".join(target.name for target in targets)
    if name is not None:
        for target in targets:
            if target.name == name:
                return target
        others = f"it has {names}" if targets else "nothing else was found in it"
        notes = [target.note for target in targets if target.name.startswith(CAPTURED) and target.dataset_kind is not None]
        clauses = "; ".join([others, *filter(None, notes)])
        raise SweepError(ErrorInfo("unknown-target", f"There is no target {name!r} in {script}; {clauses}."))
    usable = [target for target in targets if set(target.needs) <= set(arguments)]
    for kind in ("loader", "captured", "dataset"):
        of_kind = [target for target in usable if target.kind == kind]
        if len(of_kind) == 1:
            return of_kind[0]
        if of_kind:
            if (captured := next((target for target in usable if target.kind == "captured"), None)) is not None:
                return captured
            break
    if usable:
        names = ", ".join(target.name for target in usable)
        raise SweepError(ErrorInfo("unknown-target", f"{script} has several targets, choose one with --target: {names}."))
    if targets:
        needs = "; ".join(f"{target.name} needs {', '.join(target.needs)}" for target in targets)
        raise SweepError(ErrorInfo("no-target", f"Every target in {script} needs arguments (--arg NAME=VALUE): {needs}."))
    sentence = (
        f"No dataset and no DataLoader was found in {script}. One that is made inside a function or below a main guard "
        "can be profiled as captured:0 (--target captured:0)."
    )
    raise SweepError(ErrorInfo("no-target", sentence))


def needs_look(target: Target) -> bool:
    """Whether only a run of the script shows which loader this target is: it is seen in the source only, or may only evaluate."""
    return target.name.startswith(CAPTURED) and (target.captured is None or not target.captured.why)


def targets_of(captured: CapturedLoader) -> list[Target]:
    """The targets for the loaders that the script iterated."""
    return [
        Target(
            f"{CAPTURED}{loader.number}",
            "captured",
            loader.type_name,
            "captured",
            dataset_kind=loader.dataset_kind,
            length=loader.length,
            current=loader.current,
            note=met_text(loader),
            captured=captured if loader.number == captured.number else dataclasses.replace(captured, number=loader.number, why=NAMED),
        )
        for loader in captured.met
    ]
