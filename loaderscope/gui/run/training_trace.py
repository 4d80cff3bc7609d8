"""The traces of all loaders of a recorded training as one trace, so that a single timeline shows them. No Qt."""

from __future__ import annotations

from collections.abc import Mapping

from loaderscope.facts.lanes import FLIGHT_SECTION, plot_of
from loaderscope.session.thinning import merge_intervals
from loaderscope.trace.model import Lane, OpenSpan, ProcessInfo, SeriesInfo, Trace, TrackKey, name_number

ALL_LOADERS = -1
"""Stands in place of a trial's id for all loaders of a training."""


class TrainingTrace(Trace):
    """The traces of several loaders. It has their columns themselves, so that it grows with them and takes no memory of its own.

    The key of a lane is that of its loader's trace behind `TRIAL/`, because loaders have lanes of the same keys. Figures that were
    sampled belong to no loader, and keep their keys.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loaders: dict[int, tuple[str, Trace]] = {}  # by trial
        self._versions: dict[int, int] = {}
        self._name_counts: dict[str, int] = {}

    @property
    def trials(self) -> tuple[int, ...]:
        """The trials whose traces it has."""
        return tuple(self._loaders)

    def add(self, trial: int, loader: str, trace: Trace) -> None:
        """Adds the trace of a loader with a name; call `refresh` then."""
        self._loaders[trial] = loader, trace

    def refresh(self) -> None:
        """Takes in what was added to the traces of the loaders. The thread that reads this trace calls it."""
        changed = [trial for trial, (_, trace) in self._loaders.items() if trace.version != self._versions.get(trial)]
        if not changed:
            return
        titles = self._titles()
        for trial in changed:
            trace = self._loaders[trial][1]
            self._versions[trial] = trace.version
            self._take_in(f"{trial}/", trace)
        for trial, (_, trace) in self._loaders.items():
            self._take_in_lanes(f"{trial}/", trace, titles[trial])
        traces = {f"{trial}/": trace for trial, (_, trace) in self._loaders.items()}
        self.origin_ns = min((trace.origin_ns for trace in traces.values() if trace.origin_ns is not None), default=None)
        self.newest_ns = max(trace.newest_ns for trace in traces.values())
        self.open_spans = tuple(
            OpenSpan(prefix + span.lane, span.depth, span.state, span.start_ns, span.batch)
            for prefix, trace in traces.items()
            for span in trace.open_spans
        )
        self.processes = [
            ProcessInfo(prefix + process.name, process.pid, process.started_ns, process.ended_ns)
            for prefix, trace in traces.items()
            for process in list(trace.processes)
        ]
        self.forgotten = {
            (TrackKey(prefix + key.lane, key.depth), state): spans
            for prefix, trace in traces.items()
            for (key, state), spans in list(trace.forgotten.items())
        }
        self.thinned_ns = merge_intervals(interval for trace in traces.values() for interval in trace.thinned_ns)
        self.record_count = sum(trace.record_count for trace in traces.values())
        self.version += 1

    def _take_in(self, prefix: str, trace: Trace) -> None:
        for (lane, depth), columns in list(trace.tracks.items()):
            self.tracks.setdefault(TrackKey(prefix + lane, depth), columns)
        for lane, points in list(trace.points.items()):
            self.points.setdefault(prefix + lane, points)
        for key, (info, values) in list(trace.series.items()):
            if plot_of(info.group).section == FLIGHT_SECTION:  # made from the batches of this loader
                own = SeriesInfo(prefix + key, prefix + info.group, info.label, info.unit, info.process, info.window_ns)
                self.series.setdefault(own.key, (own, values))
            else:
                self.series.setdefault(key, (info, values))
        if len(trace.names) > self._name_counts.get(prefix, 0):
            self._name_counts[prefix] = len(trace.names)
            self.names.update({name_number(prefix, number): name for number, name in list(trace.names.items())})
        self.unavailable.update(trace.unavailable)
        self.notes += [note for note in trace.notes if note not in self.notes]

    def _take_in_lanes(self, prefix: str, trace: Trace, title: str) -> None:
        for lane in list(trace.lanes.values()):
            key = prefix + lane.key
            if key not in self.lanes or self.lanes[key].group != title:
                self.lanes[key] = Lane(key, lane.kind, lane.label, lane.order, title)

    def _titles(self) -> Mapping[int, str]:
        """Returns the title of each loader's lanes: its name, and its process where the training has several."""
        pids = {trial: _main_pid(trace) for trial, (_, trace) in self._loaders.items()}
        has_several = len(set(pids.values()) - {None}) > 1
        return {
            trial: f"{loader} · process {pids[trial]}" if has_several and pids[trial] is not None else loader
            for trial, (loader, _) in self._loaders.items()
        }


def _main_pid(trace: Trace) -> int | None:
    return next((process.pid for process in list(trace.processes) if process.name == "main"), None)
