"""The collection as data: scripts with one thing wrong each, healthy ones, and which findings are right about them."""

from __future__ import annotations

import dataclasses
import pathlib

FOLDER = pathlib.Path(__file__).parent
_INPUT_BOUND = ("input-bound", "partly-input-bound")
"""Right beside what says why, wherever the script has a step."""


@dataclasses.dataclass(frozen=True)
class Pathology:
    """A script, and one way to run it.

    Attributes:
        script: its name, without `.py`.
        expected: codes of which one must be found; none for a healthy script.
        beside: codes that are right, too, as warnings or errors.
        options: of the command.
        command: `run` or `trace`.
        library: that the script needs besides torch and NumPy.
        shared_memory: the size of /dev/shm for this run, as mount takes it; None leaves it as it is.
    """

    script: str
    expected: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    options: tuple[str, ...] = ("--num-workers", "0,2")
    command: str = "run"
    library: str | None = None
    shared_memory: str | None = None

    @property
    def name(self) -> str:
        """Identifies the row: a script may be run in two ways."""
        options = "" if "--step" not in self.options else f"-{self.options[self.options.index('--step') + 1]}"
        return f"{self.script}-{self.command}{options}"

    @property
    def path(self) -> pathlib.Path:
        """The script."""
        return FOLDER / ("sick" if self.expected else "healthy") / f"{self.script}.py"


_FAILED = ("trial-failed",)
"""True of every failure, though it does not say why."""
_TWO_WORKERS = ("--num-workers", "2")
_SHORT_TIMEOUT = ("--num-workers", "0,2", "--timeout", "8")
_SHORT_TRAINING = ("--num-workers", "2", "--step", "training", "--batches", "20")
_SPAWNED = ("--num-workers", "2", "--start-method", "spawn")
_FORCED = ("--num-workers", "0,2", "--force")

SICK = (
    Pathology("neighbours", ("sampler-bound",)),
    Pathology("reviews", ("sampler-bound",), ("start-up-every-epoch",)),
    Pathology("birds", ("cpu-bound",), _INPUT_BOUND),
    Pathology("tiles", ("io-bound",), _INPUT_BOUND),
    Pathology("prices", ("lock-bound",)),
    Pathology("glossary", ("lock-bound",)),
    Pathology("tokens", ("transfer-bound",)),
    Pathology("volumes", ("transfer-bound",)),
    Pathology("captions", ("copy-on-write",), options=_TWO_WORKERS),
    Pathology("diary", ("shared-state",)),
    Pathology("maps", ("cache-lost",)),
    Pathology("news", ("set-epoch-lost",)),
    Pathology("stories", ("set-epoch-lost",)),
    Pathology("sensors", ("duplicate-samples",)),
    Pathology("shelves", ("idle-workers",)),
    Pathology("lines", ("dropped-samples",)),
    Pathology("towns", ("worker-imbalance",)),
    Pathology("signals", ("duplicate-seeds",)),
    Pathology("crops", ("duplicate-seeds",)),
    Pathology("dice", ("duplicate-seeds",)),
    Pathology("chapters", ("shared-handle",), _FAILED),
    Pathology("rows", ("shared-handle",), _FAILED),
    Pathology("answers", ("shared-handle",), _FAILED),
    Pathology("switches", ("shared-handle",), ("hung",), _SHORT_TIMEOUT),
    Pathology("portraits", ("cuda-in-worker",), _FAILED),
    Pathology("faces", ("cuda-in-worker",)),
    Pathology("episodes", ("loader-remade",), _INPUT_BOUND, _SHORT_TRAINING),
    Pathology("episodes", ("loader-remade",), _INPUT_BOUND, (), "trace"),
    Pathology("rounds", ("loader-remade",), _INPUT_BOUND, _SHORT_TRAINING),
    Pathology("rounds", ("loader-remade",), _INPUT_BOUND, (), "trace"),
    Pathology("spectra", ("thread-storm",)),
    Pathology("panoramas", ("thread-storm",)),
    Pathology("waves", ("cpu-affinity",)),
    Pathology("beads", ("too-many-workers", "more-workers-than-cores"), options=("--num-workers", "0,2,12")),
    Pathology("letters", ("slow-sample",)),
    Pathology("digits", ("small-batches",)),
    Pathology("seasons", ("prefetch",), _INPUT_BOUND),
    Pathology("panels", ("prefetch",)),
    Pathology("murals", ("shared-memory-full",), options=_FORCED, shared_memory="40m"),
    Pathology("chords", ("too-many-files",), options=_SHORT_TIMEOUT),
    Pathology("invoices", ("states-saved",), library="torchdata"),
    Pathology("doors", ("hung",), options=_SHORT_TIMEOUT),
    Pathology("bridges", ("worker-died",)),
    Pathology("speeches", ("trial-failed",)),
    Pathology("vectors", ("trial-failed",)),
    Pathology("kites", ("not-picklable",)),
    Pathology("streets", ("memory-growth",), options=_TWO_WORKERS),
    Pathology("atlas", ("memory-multiplied",), ("large-pickle", "serial-starts", "start-up-every-epoch"), _SPAWNED),
    Pathology("ferries", ("input-bound",)),
)

HEALTHY = (
    Pathology("flowers"),
    Pathology("leaves"),
    Pathology("deeds"),
    Pathology("rivers"),
    Pathology("statues"),
    Pathology("meadows"),
    Pathology("globes"),
    Pathology("stamps"),
    Pathology("galaxies"),
    Pathology("tickets"),
    Pathology("recipes"),
    Pathology("coins"),
    Pathology("lakes"),
    Pathology("orbits"),
    Pathology("spices"),
    Pathology("bees"),
)
