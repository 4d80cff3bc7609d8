"""Times the batches of a script's loader with a plain loop: no hook is installed, nothing is recorded.

Run by the interpreter of the frameworks: `stopwatch.py SCRIPT NUMBER`. It runs the script up to its loader NUMBER, then answers
each line `WORKERS START_METHOD BATCHES EPOCHS` on standard input with a line of JSON: for each epoch the seconds at which its
batches came.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from loaderscope.agent import capture, loaders, made_loaders, trials, watched_children
from loaderscope.agent.messages import TrialConfig
from loaderscope.agent.script import Script

REQUESTS = os.fdopen(os.dup(0))
ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)


def serve(captured: capture.Captured) -> None:
    """Answers all requests, and ends the process without running the script on."""
    feed = trials.Feed(captured.loader, {})
    for line in REQUESTS:
        workers, method, batches, epochs = line.split()
        stamps = _time(feed, int(workers), method, int(batches), int(epochs))
        ANSWERS.write(json.dumps(stamps) + "\n")
    os._exit(0)


def _time(feed: trials.Feed, workers: int, method: str, batches: int, epochs: int) -> list[list[float]]:
    config = TrialConfig(workers, loaders.batch_size_of(feed.source), 2 if workers else None, start_method=method if workers else None)
    feed.reset(0)
    loader = loaders.build(feed.source, config, None, {}, batches).loader
    feed.reset(0)
    stamps = []
    for _ in range(epochs):
        times: list[float] = []
        for batch in loader:
            times.append(time.perf_counter())
            if len(times) == batches:
                del batch
                break
        stamps.append(times)
    return stamps


def main() -> None:
    path, number = sys.argv[1:]
    script = Script(path)
    with tempfile.TemporaryDirectory() as folder:
        script.set_up_process([], os.getcwd(), frozenset(sys.modules), folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # what the script prints is no answer
        made_loaders.install()
        capture.run_program(script, watched_children.LoaderSearch(int(number), 0, folder), serve)


if __name__ == "__main__":
    main()
