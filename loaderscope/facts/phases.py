"""The phases of a start-up, from iter(loader) to the first batch: one row each, from which titles, tips and colours are made."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class PhaseGroup:
    """Phases that share a colour and an entry of the legend.

    Attributes:
        role: the name of its colour in a palette.
        title: in the legend; empty if the legend uses the title of its only phase.
    """

    role: str
    title: str = ""


PROCESS_START = PhaseGroup("startup_dark", "process start")
SCRIPT_IMPORT = PhaseGroup("startup")
PICKLING = PhaseGroup("startup_light", "(un)pickling")
WORKER_INIT = PhaseGroup("pin")
INDEX_WAIT = PhaseGroup("waiting_hatch")
FETCH = PhaseGroup("fetch")
COLLATE = PhaseGroup("collate")
SEND = PhaseGroup("send")
RECEIVE = PhaseGroup("transfer")
OWN = PhaseGroup("own")
END = PhaseGroup("step")

GROUPS = (PROCESS_START, SCRIPT_IMPORT, PICKLING, WORKER_INIT, INDEX_WAIT, FETCH, COLLATE, SEND, RECEIVE, OWN, END)
"""In the order of a legend."""


@dataclasses.dataclass(frozen=True)
class StartupPhase:
    """A phase of a start-up.

    Attributes:
        key: in the JSON, in session files and in the code.
        title: its name in charts, tables and spans; short enough for tables of a terminal.
        tip: its explanation, after the title.
        detail: its description as a culprit; `{worker}` stands for the process that made the first batch.
        group: the phases that share its colour.
        in_self_test: whether the self-test lists it.
    """

    key: str
    title: str
    tip: str
    detail: str
    group: PhaseGroup
    in_self_test: bool = True


SHUTDOWN = StartupPhase("shutdown", "shut down", "the end of the epoch, until its workers are gone", "", END)
"""It comes after the first batch, so no time before the first batch is charged to it."""

PHASES: tuple[StartupPhase, ...] = (
    StartupPhase("server_start", "fork server", "start of the fork server, once", "the forkserver starts, once", PROCESS_START),
    StartupPhase(
        "iterator",
        "make iterator",
        "making the loader's iterator",
        "making the loader's iterator in the main process",
        PROCESS_START,
        in_self_test=False,
    ),
    StartupPhase("start_worker", "start worker", "main starts the worker's process", "starting the worker", PROCESS_START),
    StartupPhase(
        "pickle", "pickle", "pickling the dataset and what goes with it", "the process objects are pickled", PICKLING, in_self_test=False
    ),
    StartupPhase("create", "create process", "until the first Python statement", "the operating system creates {worker}", PROCESS_START),
    StartupPhase("boot", "boot Python", "Python's own start", "the interpreter of {worker} starts", PROCESS_START),
    StartupPhase("main_import", "import script", "importing the script again", "{worker} imports the script again", SCRIPT_IMPORT),
    StartupPhase(
        "unpickle",
        "unpickle",
        "unpickling the dataset and what goes with it",
        "{worker} unpickles the dataset and what goes with it",
        PICKLING,
    ),
    StartupPhase("loop_entry", "enter loop", "entering the worker's loop", "{worker} gets from its start to its loop", PICKLING),
    StartupPhase(
        "worker_init", "worker_init_fn", "the script's own worker_init_fn", "worker_init_fn in {worker}", WORKER_INIT, in_self_test=False
    ),
    StartupPhase(
        "index_wait",
        "wait for indices",
        "waiting for the indices of the first batch",
        "{worker} waits for the indices of its first batch",
        INDEX_WAIT,
        in_self_test=False,
    ),
    StartupPhase(
        "first_fetch",
        "first fetch",
        "reading the samples of the first batch",
        "{worker} reads the samples of the first batch from the dataset",
        FETCH,
    ),
    StartupPhase(
        "first_collate",
        "first collate",
        "putting its samples together",
        "{worker} collates the first batch",
        COLLATE,
        in_self_test=False,
    ),
    StartupPhase("first_send", "first send", "sending the first batch", "{worker} sends the first batch", SEND),
    StartupPhase(
        "first_receive",
        "first receive",
        "receiving the first batch in main",
        "the first batch gets from {worker} into the hands of the main process",
        RECEIVE,
    ),
    StartupPhase("own", "Loaderscope", "what recording itself took", "Loaderscope's own probe in {worker}", OWN, in_self_test=False),
    SHUTDOWN,
)
"""In the order in which they begin."""

PRECEDENCE = (
    "own", "pickle", "server_start", "start_worker", "worker_init", "unpickle", "main_import", "boot", "create", "loop_entry",
    "first_fetch", "first_collate", "first_send", "first_receive", "iterator", "index_wait",
)  # fmt: skip
"""Keys of the phases before the first batch; if phases overlap, the one listed first is charged."""

_BY_KEY = {phase.key: phase for phase in PHASES}


def phase_of(key: str) -> StartupPhase:
    """Returns the phase with a key; a key unknown to this version becomes the title of a new phase."""
    return _BY_KEY.get(key) or StartupPhase(key, key.replace("_", " "), "", "", OWN, in_self_test=False)


def group_title(group: PhaseGroup) -> str:
    """Returns the title of a group in a legend."""
    return group.title or next(phase.title for phase in PHASES if phase.group is group)
