"""Writes the file `trained` into the working directory after the first step of an optimizer, in any script that imports this.

Environment variables change it:

    FETCH_MILLISECONDS  each fetch of a batch also waits for that long, as if its samples had a cost
    GRADIENTS_FILE      this file gets a line for each of the first optimizer steps: a digest of all gradients
    LOADER_WORKERS      number and start method of the workers of every loader, as "2 spawn"
"""

import functools
import hashlib
import os
import pathlib
import random
import time

import numpy
import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader
from torch.utils.data._utils.fetch import _IterableDatasetFetcher, _MapDatasetFetcher

_FILE = pathlib.Path("trained").absolute()


def write_file() -> None:
    """Writes the file; for scripts whose optimizer is none of torch."""
    _FILE.touch()


_STEPS_IN_FILE = 5
_steps = 0


def _after_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    global _steps
    write_file()
    _steps += 1
    if "GRADIENTS_FILE" in os.environ and _steps <= _STEPS_IN_FILE:
        gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"] if parameter.grad is not None]
        digest = hashlib.sha256(b"".join(gradient.detach().cpu().float().numpy().tobytes() for gradient in gradients))
        with open(os.environ["GRADIENTS_FILE"], "a") as file:
            file.write(f"{len(gradients)} {digest.hexdigest()}\n")


register_optimizer_step_post_hook(_after_step)
if "GRADIENTS_FILE" in os.environ:  # they are compared between runs
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


def _give_workers(number: int, start_method: str) -> None:
    original = DataLoader.__init__

    @functools.wraps(original)
    def __init__(self, *args, **kwargs):  # noqa: N807 - replaces it
        original(self, *args, **{**kwargs, "num_workers": number, "multiprocessing_context": start_method})

    DataLoader.__init__ = __init__


if "LOADER_WORKERS" in os.environ:
    _number, _method = os.environ["LOADER_WORKERS"].split()
    _give_workers(int(_number), _method)


def _slow_down(fetcher: type, seconds: float) -> None:
    original = fetcher.fetch

    @functools.wraps(original)
    def fetch(self, index):
        time.sleep(seconds)
        return original(self, index)

    fetcher.fetch = fetch


if "FETCH_MILLISECONDS" in os.environ:
    for each in (_MapDatasetFetcher, _IterableDatasetFetcher):
        _slow_down(each, float(os.environ["FETCH_MILLISECONDS"]) / 1000)
