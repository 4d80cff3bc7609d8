"""Writes the file `trained` into the working directory after the first step of an optimizer, in any script that imports this.

With the environment variable FETCH_MILLISECONDS each fetch of a batch also waits for that long, as if its samples had a cost.
"""

import functools
import os
import pathlib
import time

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data._utils.fetch import _IterableDatasetFetcher, _MapDatasetFetcher

_FILE = pathlib.Path("trained").absolute()


def write_file() -> None:
    """Writes the file; for scripts whose optimizer is none of torch."""
    _FILE.touch()


def _after_step(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    write_file()


register_optimizer_step_post_hook(_after_step)


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
