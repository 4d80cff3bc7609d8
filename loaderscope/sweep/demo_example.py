"""The built-in examples: a dataset of real photographs with the sweep over it that `demo` starts, and the training that it records."""

from __future__ import annotations

from pathlib import Path

from loaderscope.facts.request import Axes, Request
from loaderscope.resource_files import resource_folder

TARGET = "train_loader"
TRAINING = "train_photos.py"
MOST_WORKERS = 4  # so that a demonstration takes about half a minute on any machine


def example_script(name: str = "photos.py") -> Path:
    """The path of an example script."""
    return resource_folder() / "examples" / name


def demo_request(usable_cpus: int) -> Request:
    """A sweep over the number of workers; each trial runs all batches of the example once, with its own training step."""
    workers = tuple(n for n in (0, 1, 2, 4) if n <= min(max(2, usable_cpus), MOST_WORKERS))
    return Request(script=str(example_script()), target=TARGET, axes=Axes(num_workers=workers), batches=None, epochs=1)
