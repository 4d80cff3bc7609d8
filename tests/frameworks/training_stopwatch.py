"""Times the batches that a training takes, by two stamps a batch: no hook of the recording is installed.

Run by the interpreter of the frameworks: `training_stopwatch.py SCRIPT NUMBER WORKERS START_METHOD BATCHES`. It runs the script with
these values in its loader NUMBER, ends it after so many batches, and writes when each came (s) as a line of JSON.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from loaderscope.agent import guard, loader_in_place, loaders, made_loaders, watched_children
from loaderscope.agent.messages import TrialConfig
from loaderscope.agent.script import AS_PROGRAM, Script

ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)


def main() -> None:
    path, number, workers, method, batches = sys.argv[1:]
    given, dataset = [], []

    def give(loader: object) -> None:
        size, count = loaders.batch_size_of(loader), int(workers)
        config = TrialConfig(count, size, 2 if count else None, start_method=method if count else None, backend="process")
        loader_in_place.give_settings(loader, config)
        given.append(loader)

    def on_iteration(loader: object) -> None:
        if search.matches(loader):
            dataset.append(loader.dataset)
            if not made_loaders.keeps_iterator(loader):
                give(loader)

    script = Script(path)
    search = watched_children.LoaderSearch(int(number), 0, "")
    with tempfile.TemporaryDirectory() as folder:
        script.set_up_process([], os.getcwd(), frozenset(sys.modules), folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # what the script prints is no answer
        made_loaders.install()
        made_loaders.set_constructor_callback(lambda loader, _number: give(loader))
        made_loaders.set_iteration_callback(on_iteration)
        stamp(dataset, int(batches))
        script.run(AS_PROGRAM, "before it took enough batches")


def stamp(dataset: list, batches: int) -> None:
    """Stamps each batch of the loader with this dataset, and ends the process after so many."""
    from torch.utils.data import dataloader

    original, stamps = dataloader._BaseDataLoaderIter.__next__, []

    def __next__(iterator: object) -> object:  # noqa: N807 - takes that method's place
        batch = original(iterator)
        if dataset and iterator._dataset is dataset[0]:
            stamps.append(time.perf_counter())
            if len(stamps) == batches:
                ANSWERS.write(json.dumps(stamps) + "\n")
                guard.end_with_tree(0)
        return batch

    dataloader._BaseDataLoaderIter.__next__ = __next__


if __name__ == "__main__":
    main()
