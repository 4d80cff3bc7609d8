"""What the timeline shows of a trace: its rows in their order, and a searchable index of their spans. No Qt."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from loaderscope.agent.layout import DEVICE_PERIODS, State
from loaderscope.analysis.measured_part import window_start_ns
from loaderscope.facts.lanes import (
    FLIGHT,
    FLIGHT_KEY,
    FLIGHT_SECTION,
    FLIGHT_TITLE,
    GPU_STEP,
    LEGEND,
    OPTIMIZER_STEP,
    SAMPLED_SECTION,
    STEP,
    TOP_SECTION,
    WORKER,
    LegendEntry,
    lane_kind,
    lane_rank,
    plot_of,
)
from loaderscope.gui.timeline.data.exposed_strip import Exposed, ExposedBins, exposed_of_process
from loaderscope.gui.timeline.data.growing_array import GrowingArray
from loaderscope.gui.timeline.data.level_of_detail import Floats, Ints, TrackIndex
from loaderscope.gui.timeline.data.plot_rows import GPU_PREFIX, PlotRow, plot_rows, reasons
from loaderscope.gui.timeline.data.rows_at_hand import RowsAtHand, range_to_read, read_rows, without_rows
from loaderscope.gui.timeline.data.state_styles import LEVEL_PARTS, STYLES, nesting_level
from loaderscope.gui.timeline.data.stored_index import StoredIndex
from loaderscope.gui.timeline.data.viewport import Viewport, fitted, fitted_to_growing
from loaderscope.session.errors import SessionError
from loaderscope.trace.lane_table import DEVICE_EXACT_LANE, IMPORT_DEPTH, LINE_DEPTH, MAIN_LANE
from loaderscope.trace.model import Lane, OpenSpan, SeriesInfo, Trace, TrackKey, loader_prefix
from loaderscope.trace.stored_columns import StoredColumns


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the timeline.

    Attributes:
        kind: `lane` (one lane), `flight` (all queue slots, compact), `plot` (the series of a group), `reason` (text), or `title`
            (of the rows of one of several loaders).
        lanes: lane keys, for `lane` and `flight`; for a folded `title` those that it shows as one.
        series: series keys, for `plot`.
        section: rows of one section are neighbours; a line separates sections.
        text: the reason, for `reason`; the process, for `title`, where there are several.
        is_optional: the timeline shows it only if the user asks for it.
        loader: the prefix of its lanes where the timeline shows several loaders; else empty.
        loader_title: the title of that loader.
        is_folded: whether a `title` stands for all rows of its loader.
    """

    kind: str
    key: str
    label: str
    section: int
    lane_kind: str = ""
    lanes: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    unit: str = ""
    text: str = ""
    is_optional: bool = False
    loader: str = ""
    loader_title: str = ""
    is_folded: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it shows a text, which a pan does not move."""
        return self.kind == "reason" or (self.kind == "title" and not self.is_folded)

    @property
    def full_label(self) -> str:
        """The label, behind the name of its loader where the timeline shows several."""
        return full_label(self.label, self.loader_title)


@dataclasses.dataclass(frozen=True)
class LoaderUseSoFar:
    """How many batches of a loader main took, and for how long it waited for them."""

    batches: int
    waited_ns: int


def full_label(label: str, loader_title: str) -> str:
    """Returns the label of a lane with the title of its loader, if it has one."""
    return f"{loader_title} · {label}" if loader_title else label


_PAINTING_S = 0.25
"""Long searches in other threads wait this long after each painting, so that no zoom or pan waits for them."""

_LAG_NS = 2_000_000_000
"""Exposed loading time of a running trial is told until so long ago: its processes are read one after the other, and device times come
later than those of main. A span that arrives after its time was counted would be missing for good."""

_OVERVIEW_LANES = 16  # at most about as many lanes are in the overview


class Scene:
    """A trace as rows; follows the trace while it grows. Use it from one thread; another thread may fill the trace."""

    def __init__(self, trace: Trace, title: str = "") -> None:
        self.trace = trace
        self.title = title
        self.axis_zero: float | None = None  # zero of the axis, nanoseconds since the origin; None for the origin
        self.is_live = False  # whether its trial is running
        self.rows: tuple[Row, ...] = ()
        self.version = -1
        self._indexes: dict[TrackKey, TrackIndex] = {}
        self._updated_tracks: dict[str, list[TrackIndex]] = {}  # tracks by lane that are up to date with this version
        self._tracks_of: dict[str, list[TrackKey]] = {}
        self._open_by_lane: tuple[tuple[OpenSpan, ...], dict[str, list[OpenSpan]]] = (), {}
        self._legend: list[tuple[str, str, bool]] | None = None
        self._overview: tuple[tuple[int, Viewport, int], Floats] | None = None
        self._peaks: dict[str, tuple[int, float]] = {}
        self._optimizer_steps: dict[str, tuple[int, GrowingArray[np.int64]]] = {}  # by lane: points that were looked at, and times
        self._profiler_start: tuple[int, tuple[int, int] | None] = -1, None
        self._exact_window: tuple[int, int | None] = -1, None
        self._is_stored: tuple[int, bool] = -2, False
        self._exposed = ExposedBins()
        self._misses_exposed = False  # whether spans were forgotten before they were counted there
        self._at_hand: RowsAtHand | None = None
        self._painted_s = 0.0
        self.problem = ""  # why spans of a stored trace cannot be shown
        self.update()

    @property
    def is_stored(self) -> bool:
        """Whether long tracks stay in a session file."""
        if self._is_stored[0] != self.version:
            self._is_stored = self.version, self.trace.is_stored
        return self._is_stored[1]

    def forgotten_until_ns(self) -> int | None:
        """Returns until when a running trial has forgotten spans, which its session file has; None if it has all in memory."""
        tables = [table for table in self.trace.tracks.values() if table.first_row and len(table)]
        return max((int(table.view()["start_ns"][0]) for table in tables), default=None)

    @property
    def trace_at_hand(self) -> Trace:
        """The trace with the spans and points that are in memory: all of them, or those around the view of a stored trace."""
        if not self.is_stored:
            return self.trace
        return self._at_hand.trace if self._at_hand is not None else without_rows(self.trace)

    def range_to_read(self, start_ns: int, end_ns: int) -> tuple[int, int] | None:
        """Returns the range of a stored trace to read next for a view of [start_ns, end_ns); None if nothing needs to be read."""
        return range_to_read(self.trace, self._at_hand, start_ns, end_ns) if self.is_stored and not self.problem else None

    def set_at_hand(self, rows: RowsAtHand) -> None:
        """From now on has these rows at hand, and no others."""
        self._at_hand = rows
        self._optimizer_steps = {}
        for key, index in self._indexes.items():
            self._give_rows_at_hand(key, index)

    def read(self, start_ns: int, end_ns: int) -> None:
        """Reads at once what a view of [start_ns, end_ns) needs, for pictures in files."""
        to_read = self.range_to_read(start_ns, end_ns)
        if to_read is not None:
            try:
                self.set_at_hand(read_rows(self.trace, *to_read))
            except SessionError as error:
                self._report(error)

    def search_outliers(self) -> None:
        """Looks at every span of the tracks in a file for outliers; any other thread may call it, once."""
        for index in list(self._indexes.values()):
            if isinstance(index, StoredIndex) and not self.problem:
                index.search_outliers(self.wait_while_painting)

    def note_painting(self) -> None:
        """Says that the scene is being painted."""
        self._painted_s = time.monotonic()

    def wait_while_painting(self) -> None:
        """Waits in another thread until the scene has not been painted for a moment: one interpreter runs only one thread at a time."""
        while time.monotonic() - self._painted_s < _PAINTING_S:
            time.sleep(_PAINTING_S / 5)

    def _give_rows_at_hand(self, key: TrackKey, index: TrackIndex) -> None:
        rows = self._at_hand
        if rows is not None and isinstance(index, StoredIndex):
            index.set_at_hand(rows.indexes[key], rows.first_rows[key], rows.start_ns, rows.end_ns)

    def _report(self, error: SessionError) -> None:
        self.problem = str(error)

    @property
    def origin_ns(self) -> int:
        """Absolute time from which viewports count."""
        return self.trace.origin_ns or 0

    @property
    def total_ns(self) -> float:
        """Length of the trace."""
        return float(max(self.trace.end_ns - self.origin_ns, 0))

    @property
    def extent(self) -> Viewport:
        """The range of the whole trial for the view and the minimap; while the trial runs, with room for more data."""
        return fitted_to_growing(self.total_ns) if self.is_live else fitted(0.0, max(self.total_ns, 1e6))

    @property
    def is_empty(self) -> bool:
        """Whether the trace has no record yet."""
        return self.trace.origin_ns is None

    def update(self) -> bool:
        """Takes in the new data of the trace; returns whether there was any."""
        version = self.trace.version
        if version == self.version:
            return False
        self.version = version
        self._updated_tracks.clear()
        self._legend = None
        self._tracks_of.clear()
        for key in sorted(self.trace.tracks):
            if _is_drawn(key):
                self._tracks_of.setdefault(key.lane, []).append(key)
        self.rows = _rows(self.trace)
        return True

    def prepare(self) -> None:
        """Builds every index that painting needs. With millions of spans, call it outside the window's thread.

        Another thread may call it while nobody else uses the scene.
        """
        for row in self.rows:
            for lane in row.lanes:
                for index in self.tracks(lane):
                    for level in range(len(LEVEL_PARTS)):
                        index.prepare(drawn_states(index.states, row.lane_kind, level))
        self.legend()

    def tracks(self, lane: str) -> list[TrackIndex]:
        """Returns the tracks of a lane, outermost first."""
        tracks = self._updated_tracks.get(lane)
        if tracks is None:
            tracks = self._updated_tracks[lane] = []
            for pair in self._tracks_of.get(lane, ()):
                index = self._indexes.get(pair)
                if index is None or index.is_outdated:
                    index = self._indexes[pair] = self._new_index(pair)
                else:
                    index.update()
                tracks.append(index)
        return tracks

    def _new_index(self, key: TrackKey) -> TrackIndex:
        columns = self.trace.tracks[key]
        if not isinstance(columns, StoredColumns):
            return TrackIndex(columns)
        index = StoredIndex(columns, self.trace.thinned_ns, self._report)
        self._give_rows_at_hand(key, index)
        return index

    @property
    def is_training(self) -> bool:
        """Whether a training goes on in the trace: it shows loaders by name, or updates of an optimizer."""
        if any(row.kind == "title" for row in self.rows):
            return True
        return any(len(self.optimizer_steps_ns(row.key)) for row in self.rows if row.lane_kind == MAIN_LANE.kind)

    @property
    def tells_exposed(self) -> bool:
        """Whether exposed loading time can be told: of a training, unless spans are missing and its analysis has not found it either."""
        if self.is_stored or self._misses_exposed:
            return self.trace.process_use is not None
        return self.is_training

    def exposed(self) -> Exposed | None:
        """Returns the exposed loading time of a training so far; None if it cannot be told (yet)."""
        self.count_exposed()
        if not self.tells_exposed:
            return None
        if self.is_stored or self._misses_exposed:
            return exposed_of_process(self.trace.process_use, self.origin_ns) if self.trace.process_use is not None else None
        return self._exposed.exposed()

    def count_exposed(self) -> None:
        """Counts the exposed loading time of new spans. Call it often while a training runs, before it forgets old ones."""
        begin_ns, until_ns = self._exposed.until_ns, self.trace.newest_ns - self.origin_ns - (_LAG_NS if self.is_live else 0)
        if until_ns <= begin_ns or self.is_stored or self._misses_exposed or not self.is_training:
            return
        mains = [key for key in list(self.trace.lanes) if key == loader_prefix(key) + MAIN_LANE.key]
        device_lanes, waiting = self._device_lanes(), (State.ITERATOR, State.WAIT)
        self._misses_exposed = self._forgot_after(self.origin_ns + begin_ns, mains, waiting) or self._forgot_after(
            self.origin_ns + begin_ns, device_lanes, tuple(DEVICE_PERIODS)
        )
        if not self._misses_exposed:
            waits = self._periods(mains, waiting, begin_ns, until_ns)
            self._exposed.add(waits, self._periods(device_lanes, tuple(DEVICE_PERIODS), begin_ns, until_ns), until_ns)

    def _forgot_after(self, time_ns: int, lanes: Sequence[str], states: Sequence[State]) -> bool:
        """Returns whether a track with any of the states has forgotten spans that began after a moment."""
        return any(
            self.trace.tracks[key].first_row and int(index.start_ns[0]) > time_ns
            for lane in lanes
            for key, index in zip(self._tracks_of.get(lane, ()), self.tracks(lane), strict=True)
            if any(index.count_of(state) for state in states)
        )

    def _device_lanes(self) -> list[str]:
        """Returns the lanes of devices that say themselves when they work; that of a step on the processor is none."""
        lanes = [key for key, lane in list(self.trace.lanes.items()) if lane.kind == "device"]
        return [key for key in lanes if any(state in DEVICE_PERIODS for index in self.tracks(key) for state in index.states)]

    def _periods(self, lanes: Sequence[str], states: Sequence[State], begin_ns: int, end_ns: int) -> tuple[Ints, Ints]:
        """Returns the parts of spans of these states that lie in [begin_ns, end_ns), open ones included; times from the origin."""
        wanted, origin = [int(state) for state in states], self.origin_ns
        starts, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for lane in lanes:
            for index in self.tracks(lane):
                rows = index.part(*index.rows_between(origin + begin_ns, origin + end_ns))
                is_wanted = np.isin(rows.state, wanted)
                starts.append(np.asarray(rows.start_ns, np.int64)[is_wanted] - origin)
                ends.append(np.asarray(rows.end_ns, np.int64)[is_wanted] - origin)
            opened = [span.start_ns - origin for span in self.open_spans(lane) if span.state in wanted]
            starts.append(np.array(opened, np.int64))
            ends.append(np.full(len(opened), end_ns, np.int64))
        return np.clip(np.concatenate(starts), begin_ns, end_ns), np.clip(np.concatenate(ends), begin_ns, end_ns)

    def idle_loaders(self, start_ns: int, end_ns: int) -> frozenset[str]:
        """Returns the prefixes of the loaders of which nothing is in [start_ns, end_ns); none where that holds for all of them."""
        loaders = [row.loader for row in self.rows if row.kind == "title"]
        idle = frozenset(loader for loader in loaders if not self.is_loader_active(loader, start_ns, end_ns))
        return idle if len(idle) < len(loaders) else frozenset()

    def is_loader_active(self, loader: str, start_ns: int, end_ns: int) -> bool:
        """Returns whether anything of a loader, by the prefix of its lanes, is in [start_ns, end_ns)."""
        return any(self._is_active(row.key, start_ns, end_ns) for row in self.rows if row.loader == loader and row.kind == "lane")

    def use_of_loader(self, loader: str) -> LoaderUseSoFar:
        """Returns what a loader, by the prefix of its lanes, gave and cost so far."""
        main = loader + MAIN_LANE.key
        waiting = (State.ITERATOR, State.WAIT)
        batches, waited = self.trace.forgotten_spans(main, State.STEP), self.trace.forgotten_spans(main, *waiting)
        return LoaderUseSoFar(
            batches.spans + sum(index.count_of(State.STEP) for index in self.tracks(main)),
            waited.time_ns + sum(index.busy_between_ns(self.origin_ns, self.trace.end_ns, waiting) for index in self.tracks(main)),
        )

    def _is_active(self, lane: str, start_ns: int, end_ns: int) -> bool:
        if any(span.start_ns < end_ns and span.state not in (State.SHUTDOWN, State.INDEX_WAIT) for span in self.open_spans(lane)):
            return True
        return any(index.count_between(start_ns, end_ns) for index in self.tracks(lane))

    def lane(self, key: str) -> Lane | None:
        """Returns a lane by its key."""
        return self.trace.lanes.get(key)

    def open_spans(self, lane: str) -> list[OpenSpan]:
        """Returns the spans of a lane that have not ended."""
        spans = self.trace.open_spans
        if spans is not self._open_by_lane[0]:  # the reader makes a new tuple for each change
            by_lane: dict[str, list[OpenSpan]] = {}
            for span in spans:
                by_lane.setdefault(span.lane, []).append(span)
            self._open_by_lane = spans, by_lane
        return self._open_by_lane[1].get(lane, [])

    def epoch_starts_ns(self, loader: str = "") -> Ints:
        """Returns the absolute starts of the epochs after the first; `loader` is the prefix of its lanes, if there are several."""
        for index in self.tracks(loader + MAIN_LANE.key):
            if index.count_of(State.EPOCH) > 1:
                return index.starts_of(State.EPOCH)[1:]
        return np.empty(0, np.int64)

    def profiler_start_ns(self) -> tuple[int, int] | None:
        """Returns the end of the measured epochs and the begin of the exact window; None without a window (yet)."""
        if self._profiler_start[0] != self.version:
            window_ns = self.exact_window_ns()
            rows = [] if window_ns is None else [(index, index.row_from(window_ns)) for index in self.tracks(MAIN_LANE.key)]
            first = min((int(index.part(row, row + 1).start_ns[0]) for index, row in rows if row < len(index)), default=None)
            self._profiler_start = self.version, (window_ns, first) if window_ns is not None and first is not None else None
        return self._profiler_start[1]

    def optimizer_steps_ns(self, lane: str) -> Ints:
        """Returns the absolute times at which optimizers updated their parameters, on a lane of main; of a stored lane, those at hand."""
        points = self.trace_at_hand.points.get(lane)
        seen, times_ns = self._optimizer_steps.get(lane) or (0, GrowingArray(np.int64))
        if points is not None:
            first, view = points.numbered_view()
            begin = max(seen - first, 0)
            state, time_ns = view["state"][begin:], np.asarray(view["time_ns"][begin:], np.int64)
            times_ns.append(time_ns[state == State.OPTIMIZER_STEP])
            self._optimizer_steps[lane] = first + len(view["state"]), times_ns
        return times_ns.array

    def exact_window_ns(self) -> int | None:
        """Returns when the exact window began; None without one (yet). Only trials that end with one have its lane."""
        if self._exact_window[0] != self.version:
            has_window = not self.is_stored or DEVICE_EXACT_LANE.key in self.trace.lanes
            self._exact_window = self.version, window_start_ns(self.trace) if has_window else None
        return self._exact_window[1]

    def series_info(self, series: str) -> SeriesInfo:
        """Returns the description of a series."""
        return self.trace.series[series][0]

    def series_values(self, series: str) -> tuple[Ints, Floats]:
        """Returns the times and values of a series so far."""
        view = self.trace.series[series][1].view()
        return np.asarray(view["time_ns"], np.int64), np.asarray(view["value"], np.float64)

    def series_peak(self, series: str) -> float:
        """Returns the largest finite value of a series; 0 if there is none."""
        _, values = self.series_values(series)
        cached = self._peaks.get(series, (0, 0.0))
        if len(values) > cached[0]:
            added = values[cached[0] :]
            finite = added[np.isfinite(added)]
            cached = (len(values), max(cached[1], float(finite.max()) if len(finite) else 0.0))
            self._peaks[series] = cached
        return cached[1]

    def plot_scale(self, row: Row) -> float:
        """Returns the value at the top of a plot: a round number above the largest value of the whole trial, so that it stays."""
        peak = max((self.series_peak(key) for key in row.series), default=0.0)
        if row.unit in ("%", "°C"):
            return max(_round_up(peak), 100.0)
        return _round_up(peak * 1.02) or 1.0

    def legend(self) -> list[tuple[str, str, bool]]:
        """Returns an entry for each state that occurs, and for optimizer steps: title, colour role, whether it is hatched."""
        if self._legend is not None:
            return self._legend
        entries: set[LegendEntry] = set()
        for row in self.rows:
            for lane in row.lanes:
                for index in self.tracks(lane):
                    for state in index.states:
                        if state in STYLES:
                            entries.add(STYLES[state].legend)
        if GPU_STEP in entries:
            entries.discard(STEP)  # one entry for the colour that they share
        has_steps = any(len(self.optimizer_steps_ns(row.key)) for row in self.rows if row.lane_kind == MAIN_LANE.kind)
        shown = [*(entry for entry in LEGEND if entry in entries), *([OPTIMIZER_STEP] if has_steps else [])]
        self._legend = [(entry.title, entry.role, entry.is_hatched) for entry in shown]
        return self._legend

    def overview(self, columns: int, stale_share: float = 0.0) -> Floats:
        """Returns the share of each of `columns` equal parts of `extent` in which workers (or main) fetch and collate.

        With many workers it uses every second, third ... one: the minimap is an impression, and a running trial needs it again and again.

        Args:
            columns: number of parts.
            stale_share: returns the earlier result while the trial has grown by less than this share of `extent` since.
        """
        newest_ns, extent = self.trace.newest_ns, self.extent
        if self._overview is not None:
            (cached_columns, cached_extent, cached_ns), cached = self._overview
            if (cached_columns, cached_extent) == (columns, extent) and newest_ns - cached_ns <= stale_share * extent.span:
                return cached
        edges = extent.edges_ns(columns, self.origin_ns)
        workers = loading_lanes(self.rows)
        workers = workers[:: math.ceil(len(workers) / _OVERVIEW_LANES)]
        busy: Floats = np.zeros(columns)
        for lane in workers:
            for index in self.tracks(lane):
                for value in index.busy_ns(edges, (State.FETCH, State.COLLATE)).values():
                    busy += value
        result = np.clip(busy / np.maximum(np.diff(edges), 1) / len(workers), 0.0, 1.0)
        self._overview = ((columns, extent, newest_ns), result)
        return result


def _round_up(value: float) -> float:
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        power * factor for factor in (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if value <= power * factor * (1 + 1e-9)
    )


@functools.lru_cache(maxsize=1024)
def drawn_states(states: tuple[int, ...], lane_kind: str, level: int) -> tuple[int, ...]:
    """Returns the states that a lane draws at a level, in the order of stacking."""
    order = list(STYLES)
    return tuple(sorted((state for state in states if nesting_level(lane_kind, state) == level), key=order.index))


def busy_share(scene: Scene, lane: str, states: frozenset[int], start_ns: int, end_ns: int) -> float:
    """Returns the share of a range that a lane spends in states; an open span counts up to the newest record."""
    end_ns = max(end_ns, start_ns + 1)
    total = sum(index.busy_between_ns(start_ns, end_ns, states) for index in scene.tracks(lane))
    recorded_ns = min(end_ns, scene.trace.newest_ns)
    total += sum(max(recorded_ns - max(start_ns, span.start_ns), 0) for span in scene.open_spans(lane) if span.state in states)
    return min(total / (end_ns - start_ns), 1.0)


def _is_drawn(key: TrackKey) -> bool:
    """Returns whether the timeline draws a track. It does not draw imports within imports or sums for lines."""
    is_main = key.lane == loader_prefix(key.lane) + MAIN_LANE.key
    return key.depth > LINE_DEPTH and (key.depth <= IMPORT_DEPTH or is_main)


def loading_lanes(rows: Sequence[Row]) -> list[str]:
    """Returns the lanes that fetch: the workers of each loader, or main for a loader without workers."""
    lanes: list[str] = []
    for loader in dict.fromkeys(row.loader for row in rows if row.kind == "lane"):
        own = [row for row in rows if row.loader == loader and row.lane_kind in (WORKER.kind, MAIN_LANE.kind)]
        lanes += [row.lanes[0] for row in own if row.lane_kind == WORKER.kind] or [row.lanes[0] for row in own]
    return lanes or [MAIN_LANE.key]


def _rows(trace: Trace) -> tuple[Row, ...]:
    if trace.origin_ns is None and not trace.lanes:
        return ()
    plots = plot_rows(trace)
    loaders: dict[str, list[Lane]] = {}
    for lane in sorted(trace.lanes.values(), key=lambda lane: (lane_rank(lane.kind), lane.order, lane.key)):
        loaders.setdefault(loader_prefix(lane.key), []).append(lane)
    rows = [row for number, loader in enumerate(_ordered(loaders)) for row in _loader_rows(loader, loaders[loader], plots, number)]
    rows += [_plot_row(plot, plot_of(plot.key).section) for plot in plots if not loader_prefix(plot.key)]
    reason_rows = [
        Row("reason", why.key, why.label, TOP_SECTION if why.key == GPU_PREFIX else SAMPLED_SECTION, text=why.text)
        for why in reasons(trace)
    ]
    has_device = any(lane.kind == "device" for lane in trace.lanes.values())
    at_top = [row for row in reason_rows if row.key == GPU_PREFIX and not has_device]
    below = [row for row in reason_rows if row not in at_top]
    return (*at_top, *rows, *below)


def _ordered(loaders: Mapping[str, Sequence[Lane]]) -> list[str]:
    """Returns the prefixes of loaders in the order of their first iteration, those of one process together."""
    by_trial = sorted(loaders, key=lambda prefix: int(prefix[:-1] or 0))
    processes = [_process_title(loaders[prefix]) for prefix in by_trial]
    return sorted(by_trial, key=lambda prefix: processes.index(_process_title(loaders[prefix])))


def _process_title(lanes: Sequence[Lane]) -> str:
    return lanes[0].group.partition(" · ")[2]


def _loader_rows(loader: str, lanes: Sequence[Lane], plots: Sequence[PlotRow], number: int) -> list[Row]:
    """Returns the rows of one loader, which has a prefix and a title if the timeline shows several."""
    title, first_section = lanes[0].group, number * (SAMPLED_SECTION + 1)
    rows = []
    if loader:
        name, _, process = title.partition(" · ")
        rows.append(Row("title", f"{loader}title", name, first_section, text=process, loader=loader, loader_title=title))
    for lane in lanes:
        if lane.kind != FLIGHT.kind:
            section = first_section + lane_kind(lane.kind).section
            rows.append(Row("lane", lane.key, lane.label, section, lane.kind, (lane.key,), loader=loader, loader_title=title))
    if flight := tuple(lane.key for lane in lanes if lane.kind == FLIGHT.kind):
        section = first_section + FLIGHT_SECTION
        rows.append(Row("flight", loader + FLIGHT_KEY, FLIGHT_TITLE, section, FLIGHT.kind, flight, loader=loader, loader_title=title))
    own_plots = [plot for plot in plots if loader and loader_prefix(plot.key) == loader]
    rows += [dataclasses.replace(_plot_row(plot, first_section + FLIGHT_SECTION), loader=loader, loader_title=title) for plot in own_plots]
    return rows


def _plot_row(plot: PlotRow, section: int) -> Row:
    return Row("plot", plot.key, plot.label, section, series=plot.series, unit=plot.unit, is_optional=plot.is_optional)
