"""The contents of a timeline: kinds of lanes, lanes, states, the legend, and plots of sampled series; one row each."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.layout import DEVICE_PERIODS, State
from loaderscope.facts.phases import phase_of
from loaderscope.facts.settings import BY_FIELD

WAITING_FOR_EARLIER = 100
READY = 101
"""States of the derived in-flight lanes, beside those of `State`. READY lasts from the end of TRANSMIT (else of SEND) in the worker
until main hands the batch out. If an earlier batch holds it up, READY ends when main takes it from the queue, and
WAITING_FOR_EARLIER follows."""

TOP_SECTION, WORKERS_SECTION, PIN_SECTION, FLIGHT_SECTION, SAMPLED_SECTION = range(5)
"""The timeline draws the rows of a section together, and a rule between sections."""


@dataclasses.dataclass(frozen=True)
class LaneKind:
    """A kind of lanes.

    Attributes:
        key: in session files and in the code.
        section: the part of the timeline that shows them.
        busy_states: the states whose share the label of such a lane shows.
        busy_word: the name of that share.
        group_key: key of the row that can replace all of them; empty without such a row.
    """

    key: str
    section: int
    busy_states: frozenset[int]
    busy_word: str = "busy"
    group_key: str = ""


LANE_KINDS: tuple[LaneKind, ...] = (
    LaneKind("device", TOP_SECTION, frozenset((*DEVICE_PERIODS, State.DEVICE_OVERLAP, State.DEVICE_WORK, State.STEP))),
    LaneKind("main", TOP_SECTION, frozenset((State.WAIT,)), "waits"),
    LaneKind("worker", WORKERS_SECTION, frozenset((State.FETCH, State.COLLATE, State.SEND)), group_key="workers"),
    LaneKind("inner-loader", PIN_SECTION, frozenset((State.WAIT,)), "waits"),
    LaneKind("pin", PIN_SECTION, frozenset((State.PIN,))),
    LaneKind("flight", FLIGHT_SECTION, frozenset()),
)
"""From top to bottom of the timeline."""

_KINDS = {kind.key: kind for kind in LANE_KINDS}
GROUP_KEYS = {kind.key: kind.group_key for kind in LANE_KINDS if kind.group_key}
"""Kinds of lanes that one row can replace, with the key of that row."""


def lane_kind(key: str) -> LaneKind:
    """Returns the kind with a key.

    Raises:
        KeyError: the key is unknown.
    """
    return _KINDS[key]


def lane_rank(kind: str) -> int:
    """Returns the position of a kind among all kinds."""
    return LANE_KINDS.index(_KINDS[kind])


@dataclasses.dataclass(frozen=True)
class LaneFact:
    """A lane, or a series of them with `{number}` in their keys and titles.

    Attributes:
        key: in session files and in the code.
        kind: the key of its kind.
        title: its label.
        order: its position among the lanes of its kind; those of a series follow by number.
    """

    key: str
    kind: str
    title: str
    order: int


DEVICE_STEP = LaneFact("device-step", "device", "GPU step", 0)
DEVICE_STREAM = LaneFact("device-stream", "device", "GPU side streams", 1)
DEVICE_TRANSFER = LaneFact("device-transfer", "device", "GPU transfer", 2)
DEVICE_OVERLAP = LaneFact("device-overlap", "device", "copy beside step", 3)
SIMULATED_STEP = LaneFact("step", "device", "simulated step", 4)
CPU_STEP = LaneFact("step", "device", "step (CPU)", 4)
DEVICE_EXACT = LaneFact("device-exact", "device", "GPU (exact window)", 5)
MAIN = LaneFact("main", "main", "main", 10)
INNER_LOADER = LaneFact("inner-loader", "inner-loader", "torch's loader", 11)
PIN = LaneFact("pin", "pin", BY_FIELD["pin_memory"].label, 12)
SERVER = LaneFact("forkserver", "worker", "forkserver", 90)
WORKER = LaneFact("worker-{number}", "worker", "worker {number}", 100)
FLIGHT = LaneFact("flight-{number}", "flight", "in flight {number}", 10_000)

FLIGHT_KEY, FLIGHT_TITLE = "flight", "in flight"
"""The row of all batches in flight, one track for each queue slot."""


@dataclasses.dataclass(frozen=True)
class LegendEntry:
    """States that share one colour.

    Attributes:
        role: the name of the colour in a palette.
        title: in the legend and in help.
        tip: its meaning.
        lines_role: colour of the lines, if it is drawn as a pattern because no work is done; empty if it is filled.
    """

    role: str
    title: str
    tip: str
    lines_role: str = ""

    @property
    def is_hatched(self) -> bool:
        """Whether it is drawn as a pattern."""
        return bool(self.lines_role)


FETCH = LegendEntry("fetch", "fetch", "the dataset reads and transforms the samples of a batch")
COLLATE = LegendEntry("collate", "collate", "samples are put together into a batch")
SAMPLER = LegendEntry("ready", "sampler", "main draws the indices of a batch: workers cannot take that from it")
SEND = LegendEntry("send", "send / receive", "the batch goes to the main process")
STEP = LegendEntry("step", "step", "the consumer works")
GPU_STEP = LegendEntry("step", "step / GPU", "the consumer, or the GPU, works")
TRANSFER = LegendEntry("transfer", "transfer", "the batch is copied to the device")
PINNING = LegendEntry("pin", "pin", "a thread copies the batch into page-locked memory; worker_init_fn at start-up")
WAITING = LegendEntry("waiting", "waiting", "the main process has no batch", "waiting_hatch")
ISSUING = LegendEntry("issuing", "still issuing", "the host still issues work, so that the GPU may pause")
IN_HAND = LegendEntry("ready", "ready", "a batch is finished and not yet taken")
HELD_UP = LegendEntry("waiting_for_earlier", "waits for earlier", "a batch is finished, but an earlier one is not, and order is kept")
START = LegendEntry("startup", "start-up", "a worker starts, imports the script and unpickles the dataset")
OWN = LegendEntry(phase_of("own").group.role, phase_of("own").title, phase_of("own").tip)

OPTIMIZER_STEP = LegendEntry("text", "optimizer step", "an optimizer has updated the parameters of a model: a short line on main")
"""Of moments on main's lane; not of a state, so it is not in `LEGEND`."""

LEGEND: tuple[LegendEntry, ...] = (
    FETCH, COLLATE, SAMPLER, SEND, STEP, GPU_STEP, TRANSFER, PINNING, ISSUING, WAITING, IN_HAND, HELD_UP, START, OWN,
)  # fmt: skip
"""In the order of a legend."""


@dataclasses.dataclass(frozen=True)
class StateFact:
    """Title, colour and level of a state.

    Attributes:
        state: a `State`, or one of the derived ones.
        title: its name in the hover card and on the span itself.
        legend: its entry of the legend.
        role: the name of its colour in a palette; it may differ from its legend's.
        level: 0 fills the lane; each further level fills only the lower part of the level before.
        level_in_main: its level on the lane of main, if it differs there: without workers main fetches within a wait.
    """

    state: int
    title: str
    legend: LegendEntry
    role: str
    level: int = 0
    level_in_main: int | None = None

    @property
    def is_hatched(self) -> bool:
        """Whether it is drawn as a pattern."""
        return self.legend.is_hatched


def _in_legend_colour(state: int, title: str, legend: LegendEntry, level: int = 0, level_in_main: int | None = None) -> StateFact:
    return StateFact(state, title, legend, legend.role, level, level_in_main)


def _start_phase(state: State, phase: str, shade: str, level: int = 0) -> StateFact:
    """Returns a state that is a start-up phase; the shade distinguishes it from phases inside or beside it."""
    return StateFact(state, phase_of(phase).title, START, shade, level)


STATES: tuple[StateFact, ...] = (
    StateFact(State.LOAD, "load script", START, "startup"),
    _start_phase(State.ITERATOR, "iterator", "startup_dark"),
    _start_phase(State.START_WORKER, "start_worker", "startup", 1),
    _start_phase(State.PICKLE, "pickle", "startup_light", 2),
    _in_legend_colour(State.WAIT, "wait", WAITING),
    _in_legend_colour(State.DESERIALISE, "deserialise", SEND, 1),
    _in_legend_colour(State.SAMPLER, "sampler", SAMPLER, 1),
    _in_legend_colour(State.TRANSFER, "transfer", TRANSFER),
    _in_legend_colour(State.STEP, "step", STEP),
    _start_phase(State.SHUTDOWN, "shutdown", "startup_dark", 1),
    _start_phase(State.CREATE, "create", "startup_dark"),
    _start_phase(State.BOOT, "boot", "startup_dark"),
    _start_phase(State.MAIN_IMPORT, "main_import", "startup"),
    StateFact(State.IMPORT, "import", START, "startup_light", 1),
    _start_phase(State.UNPICKLE, "unpickle", "startup_light"),
    _start_phase(State.LOOP_ENTRY, "loop_entry", "startup_dark"),
    _start_phase(State.WORKER_INIT, "worker_init", "startup_light", 1),
    _in_legend_colour(State.FETCH, "fetch", FETCH, level_in_main=1),
    _in_legend_colour(State.COLLATE, "collate", COLLATE, level_in_main=1),
    _in_legend_colour(State.SEND, "send", SEND),
    _start_phase(State.SERVER_START, "server_start", "startup", 2),
    _in_legend_colour(State.PIN, "pin", PINNING),
    _in_legend_colour(State.DEVICE_TRANSFER, "transfer", TRANSFER),
    _in_legend_colour(State.DEVICE_STEP, "step", GPU_STEP),
    _in_legend_colour(State.DEVICE_STREAM, "step", GPU_STEP),
    *(_in_legend_colour(state, "still issuing", ISSUING, 1) for state in DEVICE_PERIODS.values()),
    _in_legend_colour(State.DEVICE_OVERLAP, "transfer beside step", TRANSFER),
    _in_legend_colour(State.DEVICE_WORK, "kernels and copies", GPU_STEP),
    StateFact(State.OWN, phase_of("own").title, OWN, "own", 1),
    _in_legend_colour(READY, "ready", IN_HAND),
    _in_legend_colour(WAITING_FOR_EARLIER, "waiting for an earlier batch", HELD_UP),
)
"""In stacking order. States that are missing here are not drawn: EPOCH spans everything, INDEX_WAIT is the gap in a worker's lane,
RECEIVE is nearly all of WAIT, SERIALISE and TRANSMIT are all of SEND, DEVICE_WAIT is most of a TRANSFER that blocks, MAIN_LINE lies
beside steps and gaps, SAMPLER_CLASS only has a name."""


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot of sampled series.

    Attributes:
        key: in the stored arrangement of lanes, and in the code.
        title: its label.
        tip: its explanation in the menu that offers it.
        role: the name of the colour of its first device in a palette; empty if its lines use the line colours in turn.
        section: the part of the timeline that shows it.
        is_optional: whether the timeline hides it until the user asks for it, because it says little over time.
        shown_above: the same holds as long as no value is above this one; None: it does not depend on the values.
        is_counter: whether its values only grow, so that the timeline shows the growth within the visible range.
    """

    key: str
    title: str
    tip: str = ""
    role: str = ""
    section: int = SAMPLED_SECTION
    is_optional: bool = False
    shown_above: float | None = None
    is_counter: bool = False


QUEUE_DEPTH = Plot("queue_depth", "ready batches", section=FLIGHT_SECTION)
OUTSTANDING = Plot(
    "outstanding", "batches asked for", "batches that main has asked for and not received", section=FLIGHT_SECTION, is_optional=True
)

NOTABLE_OTHERS_PERCENT = 10.0
"""Other programs get a lane where they take more of a core than this: a desktop at rest takes less."""

OTHERS_SERIES = "others/cpu"
STOLEN_SERIES = "others/stolen"
THROTTLED_SERIES = "throttled/limit"
RUN_DELAY_SERIES = "run_delay"
"""Keys of sampled series that the analysis reads, too; that of a process's run delay ends with `/` and the name of the process."""
OTHER_THREADS_SERIES = "other_threads"
"""Key of the CPU of the threads of a process beside its first; it ends with `/` and its name."""
BESIDE_SERIES = "cpu/beside"
BESIDE_DELAY_SERIES = "beside_delay/beside"
"""Keys of the CPU and of the run delay of a process that runs beside the workers; they end with `-` and its pid."""
WORKERS_AFFINITY_SERIES = "affinity/workers"
"""Key of the number of cores that all workers together may use."""

PLOTS: tuple[Plot, ...] = (
    QUEUE_DEPTH,
    Plot("gpu_utilisation", "GPU (NVML)", role="step"),
    Plot("gpu_memory", "GPU memory", role="send"),
    Plot("gpu_power", "GPU power", role="collate"),
    Plot("gpu_temperature", "GPU temp.", role="error"),
    Plot("gpu_clock", "GPU clocks"),
    Plot("gpu_pcie", "PCIe"),
    Plot("gpu_throttle", "GPU throttling", "why the GPU's clocks were lowered; empty where they never were", shown_above=0.0),
    Plot("gpu_energy", "GPU energy", "the GPU's counter of energy, in joules", is_optional=True, is_counter=True),
    Plot("cpu", "CPU"),
    Plot(
        "others",
        "other programs",
        "what other programs, and other virtual machines, take of the cores that the trial may use; 100 %: one core",
        shown_above=NOTABLE_OTHERS_PERCENT,
    ),
    Plot(
        "run_delay",
        "waits for a core",
        "how many threads of a process are ready and have no core; 100 %: one thread all the time",
        is_optional=True,
    ),
    Plot("throttled", "CPU limit", "how long the container's CPU limit holds its processes back", shown_above=0.0),
    Plot("memory", "memory"),
    Plot("memory_pss", "memory (PSS)", is_optional=True),
    Plot("memory_private", "memory (private)", is_optional=True),
    Plot("memory_uss", "memory (USS)", "USS: pages that belong to a process alone", is_optional=True),
    Plot("memory_rss", "memory (RSS)", "RSS: all pages of a process, shared ones counted for each", is_optional=True),
    Plot("memory_commit", "memory (commit)", "commit: what Windows has promised a process", is_optional=True),
    Plot(
        "memory_shared",
        "shared pages",
        "shared pages that were written (Shared_Dirty): after a fork they shrink as copies are made",
        is_optional=True,
    ),
    Plot("reads", "bytes read"),
    Plot("read_disk", "read from disk"),
    Plot("read_cache", "from page cache"),
    Plot("threads", "threads", "threads of each process", is_optional=True),
    Plot(
        "other_threads",
        "CPU of other threads",
        "what the threads of a process beside its first take of the cores; 100 %: one core",
        is_optional=True,
    ),
    Plot(
        "waits_for",
        "wait of the thread",
        "0: nothing, it computes; 1: the disk; 2: a lock; 3: a lock of a file; 4: another process; 5: it sleeps; 6: something else",
        is_optional=True,
    ),
    Plot(
        "ctx_voluntary",
        "gave up the CPU",
        "voluntary context switches, summed: the process waited",
        is_optional=True,
        is_counter=True,
    ),
    Plot(
        "ctx_involuntary",
        "lost the CPU",
        "involuntary context switches, summed: another process was given the core",
        is_optional=True,
        is_counter=True,
    ),
    Plot("affinity", "usable cores", "cores that each process may use (CPU affinity)", is_optional=True),
    OUTSTANDING,
)
"""From top to bottom; plots without a row here follow by name."""

_PLOTS = {plot.key: plot for plot in PLOTS}


def plot_of(key: str) -> Plot:
    """Returns the plot with a key; a key unknown to this version becomes the title of a new plot.

    Where a timeline shows several loaders, the plots of one have the prefix of its lanes.
    """
    return _PLOTS.get(key.rpartition("/")[2]) or Plot(key, key.replace("_", " "), is_optional=key.startswith("memory_"))


def plot_rank(key: str) -> tuple[int, str]:
    """Returns the sort key of a plot."""
    return (PLOTS.index(_PLOTS[key]) if key in _PLOTS else len(PLOTS)), key
