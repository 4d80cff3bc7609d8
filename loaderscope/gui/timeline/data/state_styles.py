"""How each state is drawn: colour role, hatching, nesting level and the word for it."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.layout import State
from loaderscope.trace.model import READY, STATE_NAMES, WAITING_FOR_EARLIER


@dataclasses.dataclass(frozen=True)
class StateStyle:
    """How a state is drawn.

    Attributes:
        role: the name of its colour in `Palette`.
        word: what the hover card and the span itself call it.
        legend: the legend's entry that it belongs to.
        level: 0 fills the lane, each further level only its lower part, inside the one before.
        hatched: drawn as a pattern, because nothing is being done.
    """

    role: str
    word: str
    legend: str
    level: int = 0
    hatched: bool = False


WITH_GPU = "step / GPU"
"""The legend's word for steps where a device reported its own; elsewhere nothing is called a GPU."""

STYLES: dict[int, StateStyle] = {
    State.LOAD: StateStyle("startup", "load script", "start-up"),
    State.ITERATOR: StateStyle("startup_dark", "iter()", "start-up"),
    State.START_WORKER: StateStyle("startup", "start worker", "start-up", 1),
    State.PICKLE: StateStyle("startup_light", "pickle", "start-up", 2),
    State.WAIT: StateStyle("waiting", "wait", "waiting", hatched=True),
    State.DESERIALISE: StateStyle("send", "deserialise", "send / receive", 1),
    State.TRANSFER: StateStyle("transfer", "transfer", "transfer"),
    State.STEP: StateStyle("step", "step", "step"),
    State.SHUTDOWN: StateStyle("startup_dark", "shut down", "start-up", 1),
    State.CREATE: StateStyle("startup_dark", "create process", "start-up"),
    State.BOOT: StateStyle("startup_dark", "boot Python", "start-up"),
    State.MAIN_IMPORT: StateStyle("startup", "import main", "start-up"),
    State.IMPORT: StateStyle("startup_light", "import", "start-up", 1),
    State.UNPICKLE: StateStyle("startup_light", "unpickle", "start-up"),
    State.LOOP_ENTRY: StateStyle("startup_dark", "enter loop", "start-up"),
    State.WORKER_INIT: StateStyle("startup_light", "worker_init_fn", "start-up", 1),
    State.FETCH: StateStyle("fetch", "fetch", "fetch"),
    State.COLLATE: StateStyle("collate", "collate", "collate"),
    State.SEND: StateStyle("send", "send", "send / receive"),
    State.SERVER_START: StateStyle("startup", "start forkserver", "start-up", 2),
    State.PIN: StateStyle("pin", "pin", "pin"),
    State.DEVICE_TRANSFER: StateStyle("transfer", "transfer", "transfer"),
    State.DEVICE_STEP: StateStyle("step", "step", WITH_GPU),
    State.DEVICE_WORK: StateStyle("step", "kernels and copies", WITH_GPU),
    State.OWN: StateStyle("own", "Loaderscope itself", "own cost", 1),
    READY: StateStyle("ready", "ready", "ready"),
    WAITING_FOR_EARLIER: StateStyle("waiting_for_earlier", "waiting for an earlier batch", "waits for earlier"),
}
"""States that are absent are not drawn: EPOCH spans everything, INDEX_WAIT is what is left free in a worker's lane,
RECEIVE is nearly all of WAIT, SERIALISE and TRANSMIT are all of SEND."""

LEGEND_ORDER = (
    "fetch",
    "collate",
    "send / receive",
    "step",
    WITH_GPU,
    "transfer",
    "pin",
    "waiting",
    "ready",
    "waits for earlier",
    "start-up",
    "own cost",
)

LEVEL_PARTS = (1.0, 0.58, 0.3)
"""Part of the bar's height that each nesting level takes, from the bottom."""

_INSIDE_WAIT = frozenset((State.FETCH, State.COLLATE))
_WORKING = frozenset((State.FETCH, State.COLLATE, State.SEND))


def level_in(lane_kind: str, state: int) -> int | None:
    """The nesting level at which a lane draws a state, or None where it does not draw it.

    With 0 workers main fetches and collates inside its wait.
    """
    style = STYLES.get(state)
    if style is None:
        return None
    return 1 if lane_kind == "main" and state in _INSIDE_WAIT else style.level


def word(state: int) -> str:
    """What a state is called."""
    style = STYLES.get(state)
    return style.word if style else STATE_NAMES.get(state, f"state {state}").replace("_", " ")


def busy_states(lane_kind: str) -> tuple[str, frozenset[int]]:
    """The word and the states of the share that a lane's label tells."""
    if lane_kind == "main":
        return "waits", frozenset((State.WAIT,))
    if lane_kind == "worker":
        return "busy", _WORKING
    if lane_kind == "pin":
        return "busy", frozenset((State.PIN,))
    return "busy", frozenset((State.DEVICE_STEP, State.DEVICE_TRANSFER, State.DEVICE_WORK, State.STEP))
