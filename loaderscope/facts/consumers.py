"""The consumers of a trial's batches: one row for each kind, from which options, the window's choices and words are made.

The agent imports the standard library only, so `agent.messages` keeps its own list of keys.
"""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import Consumer
from loaderscope.facts.lanes import CPU_STEP, SIMULATED_STEP, LaneFact


@dataclasses.dataclass(frozen=True)
class ConsumerKind:
    """A kind of consumer.

    Attributes:
        key: `Consumer.kind`, in the JSON and on the command line.
        title: what the window and the report call it.
        tip: its explanation in the window.
        is_timed: whether it needs the milliseconds of a step.
        is_simulated: whether its steps simulate an accelerator, so that results say how busy that would be.
        needs_step: whether it is the script's own step, which only some scripts have.
        is_training: whether the script's own loop takes the batches of the loader that it iterates; the window offers that elsewhere.
        needs_accelerator: whether its steps run on an accelerator.
        offered_as: the key of the kind that the window offers in its place; None: the window offers the kind itself.
        warm_up_batches: that a trial takes before those that count: the first steps of a training load what later ones use.
        has_ceiling: whether a trial with a perfect loader shows what no loader can exceed; that of a simulated step is arithmetic.
        may_use_device: whether its steps can use a device that no option names.
        lane: replaces the device's lane in the timeline if no device reports its busy periods.
    """

    key: str
    title: str
    tip: str
    is_timed: bool = False
    is_simulated: bool = False
    needs_step: bool = False
    is_training: bool = False
    warm_up_batches: int = 0
    has_ceiling: bool = False
    needs_accelerator: bool = False
    may_use_device: bool = False
    offered_as: str | None = None
    lane: LaneFact | None = None

    @property
    def option(self) -> str:
        """Its form on the command line: none, sleep:MS."""
        return f"{self.key}:MS" if self.is_timed else self.key


NOBODY = ConsumerKind("none", "nobody (iterate only)", "The loader runs as fast as it can, and nothing can be said about waiting GPUs")
SCRIPT = ConsumerKind(
    "script",
    "training step of the script",
    "Its function train_step(batch), or the one that its make_train_step() returns",
    needs_step=True,
    has_ceiling=True,
    may_use_device=True,
    lane=CPU_STEP,
)
TRAINING = ConsumerKind(
    "training",
    "the training itself",
    "The script's own loop takes the batches: each trial runs the training until it has taken enough of them",
    is_training=True,
    warm_up_batches=5,
    has_ceiling=True,
    may_use_device=True,
    lane=CPU_STEP,
)

CONSUMERS: tuple[ConsumerKind, ...] = (
    NOBODY,
    ConsumerKind(
        "sleep",
        "sleep",
        "Stands for an accelerator that leaves the processor alone: the workers keep all cores",
        is_timed=True,
        is_simulated=True,
        lane=SIMULATED_STEP,
    ),
    ConsumerKind(
        "burn",
        "CPU burn",
        "Stands for a step that keeps one core busy: it competes with the workers for the cores",
        is_timed=True,
        is_simulated=True,
        lane=SIMULATED_STEP,
    ),
    SCRIPT,
    TRAINING,
    ConsumerKind(
        "device",
        "accelerator load",
        "Matrix products that keep torch's current accelerator (CUDA, XPU, MPS or another) busy for about that long",
        is_timed=True,
        needs_accelerator=True,
        has_ceiling=True,
        may_use_device=True,
    ),
    ConsumerKind(
        "cuda",
        "CUDA load",
        "Matrix products that keep the GPU busy for about that long",
        is_timed=True,
        needs_accelerator=True,
        has_ceiling=True,
        may_use_device=True,
        offered_as="device",
    ),
)
"""In the order in which the command line lists them."""

_BY_KEY = {kind.key: kind for kind in CONSUMERS}


def consumer_kind(key: str) -> ConsumerKind | None:
    """Returns the kind with a key; None for an unknown key."""
    return _BY_KEY.get(key)


def kind_of(consumer: Consumer | None) -> ConsumerKind:
    """Returns the kind of a consumer; `NOBODY` for None.

    Raises:
        KeyError: the kind is unknown.
    """
    return NOBODY if consumer is None else _BY_KEY[consumer.kind]


def consumer_text(consumer: Consumer | None) -> str:
    """Returns the consumer in words: training step of the script, sleep 20 ms."""
    kind = kind_of(consumer)
    return kind.title if consumer is None or consumer.ms is None else f"{kind.title} {consumer.ms:g} ms"


def options_text() -> str:
    """Returns the forms of all kinds on the command line."""
    return ", ".join(kind.option for kind in CONSUMERS)
