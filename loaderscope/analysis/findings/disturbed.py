"""Finds trials that other programs disturbed, and names these programs."""

from __future__ import annotations

from collections.abc import Sequence

from loaderscope.analysis.disturbance import is_slight, programs_text
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.evidence import Disturbance, OtherProgram
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import TrialResult
from loaderscope.facts.text import cores_text, count_text

CODE = "disturbed"


def find(context: Context) -> list[Finding]:
    """Returns a warning about disturbed trials that count; if all of them could be replaced, one for information."""
    counted = [trial for trial in context.good if trial.is_disturbed]
    disturbed = counted or [trial for trial in context.replaced if trial.is_disturbed]
    known = [trial.disturbance for trial in disturbed if trial.disturbance is not None]
    if not known:
        return []
    worst = max(known, key=lambda disturbance: disturbance.others_cores)
    programs = _most_active(known)
    names = programs_text(programs) or "none that this user can see"
    taken = f"programs ({names}) took {cores_text(worst.others_cores, worst.usable_cores)}"
    if counted:
        warning = _warning(all(map(is_slight, known)), len(context.settings) > 1)
        again = "run the sweep again"
        message = f"{warning}: other {taken} at worst, and disturbed {_of_all(counted, context.good)}."
        if context.recorded is not None:
            again = "record the training again"
            message = f"{warning}: other {taken} while this loader was recorded."
        advice = f"End these programs, or wait for them, and {again}."
        if not programs:
            advice = f"Find out what else uses this machine, or wait for it, and {again}."
    else:
        repeated = ", ".join(f"{trial.id} as {trial.replaced_by}" for trial in disturbed)
        message = f"Other {taken} in {count_text(len(disturbed), 'trial')}, so these were measured again: {repeated}."
        advice = ""
    return [
        Finding(
            code=CODE,
            severity="warning" if counted else "info",
            trials=[trial.id for trial in disturbed],
            message=message,
            evidence={
                "programs": programs,
                "others_cores": worst.others_cores,
                "lost_cores": worst.lost_cores,
                "usable_cores": worst.usable_cores,
                "replaced": [trial.id for trial in context.replaced],
            },
            advice=advice,
        )
    ]


def _warning(are_slight: bool, compares: bool) -> str:
    if compares:
        return "Do not trust small differences between settings" if are_slight else "Do not trust the comparison of settings"
    return "These figures may be a little off" if are_slight else "Do not trust these figures"


def _of_all(some: Sequence[TrialResult], all_trials: Sequence[TrialResult]) -> str:
    if len(all_trials) == 1:
        return "the only trial"
    return f"all {len(some)} trials" if len(some) == len(all_trials) else f"{len(some)} of {len(all_trials)} trials"


def _most_active(disturbances: Sequence[Disturbance]) -> list[OtherProgram]:
    """Returns each program as in the trial in which it took most, the greatest first."""
    most: dict[str, OtherProgram] = {}
    for program in (program for disturbance in disturbances for program in disturbance.programs):
        if program.name not in most or program.cores > most[program.name].cores:
            most[program.name] = program
    return sorted(most.values(), key=lambda program: -program.cores)
