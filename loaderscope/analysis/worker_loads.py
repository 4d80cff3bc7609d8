"""What each worker of a trial did, and what the workers of a probe saw of their dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import EpochRun
from loaderscope.analysis.span_lookup import spans_of, worker_lanes
from loaderscope.facts.probed_workers import ProbedEpoch, WorkerLoad
from loaderscope.trace.model import Trace
from loaderscope.trace.worker_looks import WorkerLook

NS = 1e-9


def worker_loads(trace: Trace, epochs: Sequence[EpochRun]) -> list[WorkerLoad]:
    """Returns a row for each worker. A fetch gave a batch if its samples were put together: collate follows it."""
    if not epochs:
        return []
    loads, first = [], epochs[0]
    for worker, lane in worker_lanes(trace).items():
        fetches, collates = spans_of(trace, lane, State.FETCH), spans_of(trace, lane, State.COLLATE)
        in_epochs = [(fetches.starting_in(*_bounds(epoch)), collates.starting_in(*_bounds(epoch))) for epoch in epochs]
        gave = [fetched.pick(np.isin(fetched.batch, collated.batch)) for fetched, collated in in_epochs]
        loads.append(
            WorkerLoad(
                worker=worker,
                fetches=[fetched.size for fetched, _ in in_epochs],
                batches=[collated.size for _, collated in in_epochs],
                fetch_s=[float(np.median(one.end_ns - one.start_ns)) * NS if one else None for one in gave],
                start_s=(first.start_ns - (trace.origin_ns or 0)) * NS,
                seconds=(first.end_ns - first.start_ns) * NS,
            )
        )
    return loads


def _bounds(epoch: EpochRun) -> tuple[int, int]:
    return epoch.start_ns, epoch.end_ns + 1


def probed_epochs(trace: Trace, looks: Sequence[WorkerLook]) -> list[ProbedEpoch]:
    """Returns the looks as rows; the looks of a worker are its epochs, in order."""
    rows, counts = [], dict.fromkeys((look.worker for look in looks), 0)
    seen: dict[int, set[str]] = {}  # the samples of an epoch
    for look in sorted((look for look in looks if look.error is None), key=lambda look: (look.worker, look.begin_ns)):
        epoch, counts[look.worker] = counts[look.worker], counts[look.worker] + 1
        earlier = seen.setdefault(epoch, set())
        distinct = set(look.hashes) if look.hashes is not None else None
        rows.append(
            ProbedEpoch(
                worker=look.worker,
                epoch=epoch,
                start_s=(look.begin_ns - (trace.origin_ns or 0)) * NS,
                seconds=max(0, look.end_ns - look.begin_ns) * NS,
                batches=look.batches,
                samples=look.samples,
                hashed_samples=None if look.hashes is None else len(look.hashes),
                distinct_samples=None if distinct is None else len(distinct),
                repeated_samples=None if distinct is None else len(distinct & earlier),
                generators=look.generators,
                attributes=look.attributes,
                init_place=look.init,
            )
        )
        earlier |= distinct or set()
    return rows


def look_notes(looks: Sequence[WorkerLook]) -> list[str]:
    """Returns a sentence if workers could not be looked at."""
    errors = [look.error for look in looks if look.error is not None]
    return [f"The probe could not look at what workers do with the dataset: {errors[0]}."] if errors else []
