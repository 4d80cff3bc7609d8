"""What can take the batches of a trial: one row a kind, from which options, the window's choice and words are made.

The agent, which has the standard library only, keeps the keys of its own in `agent.messages`.
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
        tip: what it is, in the window.
        is_timed: whether it needs the milliseconds of a step.
        is_simulated: whether its steps stand for those of an accelerator, so that it is told how busy that would be.
        needs_step: whether it is code of the script, which only some scripts have.
        needs_gpu: whether it is offered only where there is a GPU.
        may_use_device: whether its steps can work on a device that no option names.
        lane: what stands for the device in the timeline where none tells its busy periods.
    """

    key: str
    title: str
    tip: str
    is_timed: bool = False
    is_simulated: bool = False
    needs_step: bool = False
    needs_gpu: bool = False
    may_use_device: bool = False
    lane: LaneFact | None = None

    @property
    def option(self) -> str:
        """How the command line takes it: none, sleep:MS."""
        return f"{self.key}:MS" if self.is_timed else self.key


NOBODY = ConsumerKind("none", "nobody (iterate only)", "The loader runs as fast as it can, and nothing can be said about waiting GPUs")
SCRIPT = ConsumerKind(
    "script",
    "training step of the script",
    "Its function train_step(batch), or the one that its make_train_step() returns",
    needs_step=True,
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
    ConsumerKind(
        "cuda",
        "CUDA load",
        "Matrix products that keep the GPU busy for about that long",
        is_timed=True,
        needs_gpu=True,
        may_use_device=True,
    ),
)
"""In the order in which the command line lists them."""

_BY_KEY = {kind.key: kind for kind in CONSUMERS}


def consumer_kind(key: str) -> ConsumerKind | None:
    """The kind with a key; None where there is none."""
    return _BY_KEY.get(key)


def kind_of(consumer: Consumer | None) -> ConsumerKind:
    """The kind of a consumer; without one nobody takes the batches.

    Raises:
        KeyError: there is no such kind.
    """
    return NOBODY if consumer is None else _BY_KEY[consumer.kind]


def consumer_text(consumer: Consumer | None) -> str:
    """Who takes the batches: training step of the script, sleep 20 ms."""
    kind = kind_of(consumer)
    return kind.title if consumer is None or consumer.ms is None else f"{kind.title} {consumer.ms:g} ms"


def options_text() -> str:
    """All kinds as the command line takes them."""
    return ", ".join(kind.option for kind in CONSUMERS)
