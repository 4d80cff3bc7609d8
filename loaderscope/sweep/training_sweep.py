"""What a sweep inside the training cannot have, and what its user must know."""

from __future__ import annotations

from loaderscope.agent.messages import ErrorInfo
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import Request
from loaderscope.sweep.ready_agent import CAPTURED, SweepError

WHAT_A_TRIAL_DOES = (
    "Each trial runs your training until it has taken enough batches, and then ends it at once: it may overwrite checkpoints and upload "
    "logs, and a write in the background may be cut off. LOADERSCOPE=1 in its environment tells the script."
)
LOSSES_DIFFER = (
    "Losses of trials with different numbers of workers cannot be compared: random numbers are then drawn in other processes, in another "
    "order."
)


def check_training_sweep(request: Request) -> None:
    """Checks that a request whose consumer is the training asks for nothing that the script's own loop decides.

    Raises:
        SweepError: it does.
    """
    if not kind_of(request.consumer).is_training:
        return
    decided = {
        "--shuffle": request.shuffle is not None,
        "--seed": request.seed != 0,
        "--device": request.device is not None,
        "--gpu-window": request.gpu_window is not None,
        "--startup": request.startup,
    }
    if option := next((name for name, is_given in decided.items() if is_given), None):
        raise SweepError(ErrorInfo("unsupported", f"{option} cannot be given with --step training: the script itself decides about that."))
    if request.target is not None and not request.target.startswith(CAPTURED):
        sentence = (
            f"With --step training the script's own loop takes the batches, so the target must be a loader that it iterates "
            f"({CAPTURED}N), not {request.target}; without --target the one that trains is found."
        )
        raise SweepError(ErrorInfo("unsupported", sentence, "", request.script))
