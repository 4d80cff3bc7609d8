"""Writes the file `trained` into the working directory after the first step of an optimizer, in any script that imports this."""

import pathlib

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

_FILE = pathlib.Path("trained").absolute()


def write_file() -> None:
    """Writes the file; for scripts whose optimizer is none of torch."""
    _FILE.touch()


def _after_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    write_file()


register_optimizer_step_post_hook(_after_step)
