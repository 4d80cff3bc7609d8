"""Says how far other programs disturbed a trial, and which trial of a disturbed one and its repeats counts.

Others may take cores that the trial leaves idle. The run delay of the trial's own processes shows what hurt: the time for which their
threads were ready and had no core. A trial with more threads than cores makes its own run delay, too, so the loss is the smaller of the
two. Time that other virtual machines took is lost in any case: it does not show in the run delay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from loaderscope.analysis.span_lookup import Int64Array
from loaderscope.analysis.steady import Steady
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.evidence import Disturbance, OtherProgram
from loaderscope.facts.lanes import OTHERS_SERIES, RUN_DELAY_SERIES, STOLEN_SERIES, THROTTLED_SERIES
from loaderscope.facts.results import TrialResult
from loaderscope.facts.statuses import CANCELLED, OK
from loaderscope.facts.text import cores_text, enumerated
from loaderscope.trace.model import Trace

MIN_LOST_CORES = 0.05
"""A trial is disturbed if it lost more than this. Without other programs 16 windows of 1 s showed 0.00 to 0.01 on two cores."""
MIN_LOST_SHARE = 0.01
"""... and more than this share of the usable cores: `recommend.NEGLIGIBLE_SHARE` calls a smaller difference a tie."""
MIN_OTHERS_CORES = 0.1
"""The same limit where the run delay is unknown, as not all that others take hurts."""
COUNTER_ERROR_S = 0.03
"""Less cannot be told from the error of the counters, which have steps of 10 ms."""
MIN_MEASURED_S = 0.3
"""A shorter time says nothing."""
SLIGHT_LOST_SHARE = 0.05
"""A trial that lost no more than this is a little off, not worthless."""


def find_disturbance(
    trace: Trace, steady: Steady, usable_cores: int, programs: Sequence[OtherProgram], heat_throttles: int | None = None
) -> Disturbance | None:
    """Returns what others took of the cores in the steady state, or in the whole trial if that is too short; None if unknown.

    Args:
        trace: of the trial, with the sampled series.
        steady: its steady part.
        usable_cores: cores that the trial may use.
        programs: that took most CPU time.
        heat_throttles: how often the processor lowered its clocks because of heat.
    """
    used, part = _Used(trace, steady.host_bounds_ns), "steady"
    if used.seconds < MIN_MEASURED_S:
        used, part = _Used(trace, [(int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))]), "trial"
    if used.seconds < MIN_MEASURED_S:
        return None
    stolen_s = used.core_seconds(STOLEN_SERIES)
    others_s = used.core_seconds(OTHERS_SERIES)
    delay_keys = [key for key in list(trace.series) if key.startswith(f"{RUN_DELAY_SERIES}/")]
    delay_s = sum(used.core_seconds(key) for key in delay_keys) if delay_keys else None
    if delay_s is None:
        lost_s, least_cores = others_s + stolen_s, MIN_OTHERS_CORES
    else:  # a process that the container's limit holds back is ready, too
        by_others_s = max(0.0, delay_s - used.core_seconds(THROTTLED_SERIES))
        lost_s, least_cores = min(by_others_s, others_s) + stolen_s, MIN_LOST_CORES
    least_s = max(max(least_cores, MIN_LOST_SHARE * usable_cores) * used.seconds, COUNTER_ERROR_S)
    return Disturbance(
        part=part,
        seconds=used.seconds,
        usable_cores=usable_cores,
        others_cores=(others_s + stolen_s) / used.seconds,
        run_delay_cores=None if delay_s is None else delay_s / used.seconds,
        lost_cores=lost_s / used.seconds,
        is_disturbed=lost_s > least_s,
        programs=list(programs),
        heat_throttles=heat_throttles,
    )


def run_delay_s(trace: Trace, process: str, start_ns: int, end_ns: int) -> float | None:
    """Returns how long a process waited for a core in the readings that touch a time, at most; None if it was not read then.

    Args:
        trace: of the trial.
        process: its name.
        start_ns: begin of the time.
        end_ns: its end.
    """
    ends_ns, begins_ns, cores = _readings(trace, f"{RUN_DELAY_SERIES}/{process}")
    touching = (begins_ns < end_ns) & (ends_ns > start_ns)
    if not touching.any() or ends_ns[-1] < end_ns:
        return None
    return float(((ends_ns - begins_ns)[touching] * cores[touching]).sum()) / 1e9


def disturbed_share(disturbance: Disturbance) -> float:
    """Returns the share of the usable cores that other programs took."""
    return min(1.0, disturbance.others_cores / disturbance.usable_cores)


def lost_share(disturbance: Disturbance) -> float:
    """Returns the share that a disturbed trial lost of the cores which others had not taken."""
    left_cores = max(0.0, disturbance.usable_cores - disturbance.others_cores)
    return disturbance.lost_cores / (left_cores + disturbance.lost_cores)


def is_slight(disturbance: Disturbance) -> bool:
    """Returns whether a disturbed trial lost so little that only small differences from other trials mean nothing."""
    return lost_share(disturbance) <= SLIGHT_LOST_SHARE


def without_interval(estimate: Estimate | None) -> Estimate | None:
    """Returns the value alone: an interval from within one run does not hold what disturbed the whole run."""
    return None if estimate is None else Estimate(estimate.value)


def taken_text(disturbance: Disturbance) -> str:
    """Returns a clause on what others took, and who: other programs took 1.2 of 2 cores (2 × python3 train.py and make)."""
    names = programs_text(disturbance.programs)
    return f"other programs took {cores_text(disturbance.others_cores, disturbance.usable_cores)}" + (f" ({names})" if names else "")


def programs_text(programs: Sequence[OtherProgram]) -> str:
    """Returns the names of programs for a sentence; a number says of how many processes."""
    return enumerated([f"{program.processes} × {program.name}" if program.processes > 1 else program.name for program in programs])


def disturbance_note(disturbance: Disturbance) -> str | None:
    """Returns a sentence for the trial's notes, or None if the machine was idle but for the trial."""
    taken, notes = taken_text(disturbance), []
    if disturbance.is_disturbed:
        effect = "may be a little off" if is_slight(disturbance) else "cannot be trusted"
        notes.append(f"{taken[:1].upper()}{taken[1:]}, so its figures {effect}.")
    elif disturbance.others_cores > MIN_OTHERS_CORES:
        notes.append(f"{taken[:1].upper()}{taken[1:]}, but the trial hardly waited for a core.")
    if disturbance.heat_throttles:
        notes.append(f"The processor lowered its clocks because of heat ({disturbance.heat_throttles} times).")
    return " ".join(notes) or None


def mark_replaced(results: Sequence[TrialResult]) -> list[TrialResult]:
    """Returns the results in order; of a disturbed trial and its repeats all but the least disturbed one name the one that counts.

    A repeat that failed counts as a trial of its own; one that was cancelled counts for nothing.
    """
    by_id = {result.id: result for result in results}
    groups: dict[int, list[TrialResult]] = {}
    for result in results:
        if result.replaces in by_id and result.replaces is not None:
            groups.setdefault(result.replaces, [by_id[result.replaces]]).append(result)
    replaced_by: dict[int, int] = {}
    for members in groups.values():
        good = [member for member in members if member.status == OK.key]
        if good:
            chosen = min(good, key=lambda member: member.disturbance.lost_cores if member.disturbance is not None else 0.0)
            others = [member for member in members if member.status in (OK.key, CANCELLED.key) and member is not chosen]
            replaced_by |= {member.id: chosen.id for member in others}
    return [
        _marked(result, replaced_by[result.id]) if result.id in replaced_by and result.replaced_by is None else result for result in results
    ]


def _marked(result: TrialResult, by: int) -> TrialResult:
    why = f": {taken_text(result.disturbance)}" if result.disturbance is not None else ""
    return dataclasses.replace(result, replaced_by=by, notes=[*result.notes, f"Replaced by trial {by}{why}."])


class _Used:
    """What series of shares of a core add up to within bounds of time.

    Attributes:
        seconds: time within the bounds that readings cover.
    """

    def __init__(self, trace: Trace, bounds_ns: Sequence[tuple[int, int]]) -> None:
        self._trace, self._bounds_ns = trace, bounds_ns
        ends_ns, begins_ns, _ = _readings(trace, OTHERS_SERIES)
        self.seconds = float(self._inside_ns(begins_ns, ends_ns).sum()) / 1e9

    def core_seconds(self, key: str) -> float:
        ends_ns, begins_ns, cores = _readings(self._trace, key)
        return float((self._inside_ns(begins_ns, ends_ns) * cores).sum()) / 1e9

    def _inside_ns(self, begins_ns: Int64Array, ends_ns: Int64Array) -> Int64Array:
        inside_ns = np.zeros(len(ends_ns), np.int64)
        for low, high in self._bounds_ns:
            inside_ns += np.maximum(0, np.minimum(ends_ns, high) - np.maximum(begins_ns, low))
        return inside_ns


def _readings(trace: Trace, key: str) -> tuple[Int64Array, Int64Array, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Returns end, begin and cores of each reading of a series; a reading holds since the one before, the first since the trial began."""
    if key not in trace.series:
        empty = np.empty(0, np.int64)
        return empty, empty, np.empty(0)
    info, columns = trace.series[key]
    view = columns.view()
    ends_ns = view["time_ns"].astype(np.int64)
    first_ns = ends_ns[:1] - info.window_ns if trace.origin_ns is None else np.minimum(trace.origin_ns, ends_ns[:1])
    return ends_ns, np.concatenate((first_ns, ends_ns[:-1])), view["value"].astype(np.float64) / 100
