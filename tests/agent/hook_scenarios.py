"""Run as a script: iterates one loader while recording.

python hook_scenarios.py SCENARIO METHOD LOG_DIR
"""

import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import time
import warnings

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


class Sleeping(Dataset):
    """Waits 2 ms a sample."""

    def __init__(self, length=24, ballast=b""):
        self.length = length
        self.ballast = ballast

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        time.sleep(0.002)
        return torch.full((64,), float(index))


class Burning(Sleeping):
    """Computes for 2 ms of CPU time a sample."""

    def __getitem__(self, index):
        end_ns = time.thread_time_ns() + 2_000_000
        while time.thread_time_ns() < end_ns:
            pass
        return index


class Fast(Sleeping):
    def __getitem__(self, index):
        return index


class Deadly(Sleeping):
    """Its worker is killed at sample 13."""

    def __getitem__(self, index):
        if index == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class Hanging(Sleeping):
    def __getitem__(self, index):
        if index == 5:
            hang_here()
        return index


def hang_here():
    signal.pause()


class Forking(Sleeping):
    """Starts a process of its own for each sample."""

    def __getitem__(self, index):
        child = os.fork()
        if child == 0:
            recorder = sys.modules["_loaderscope_agent.recorder"]
            recorder.write(5)
            os._exit(0 if recorder.log is None else 1)
        assert os.waitpid(child, 0)[1] == 0, "the child still has the worker's log"
        return index


class Shards(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        yield from range(info.id, 24, info.num_workers)


def init(worker):
    time.sleep(0.001)


def loader(scenario, options):
    if scenario == "persistent":
        return DataLoader(Sleeping(), 4, worker_init_fn=init, **options, **({"persistent_workers": True} if options else {}))
    dataset = {
        "sleep": Sleeping, "burn": Burning, "fast": Fast, "many": Fast, "killed": Deadly, "hang": Hanging, "fork-inside": Forking,
    }  # fmt: skip
    if scenario == "iterable":
        return DataLoader(Shards(), 4, **options)
    if scenario == "fast":
        return DataLoader(Fast(4000), 100, **options)
    return DataLoader(dataset.get(scenario, Sleeping)(), 4, worker_init_fn=init, **options)


def main(scenario, method, log_dir):
    import agent_package

    agent_package.load()
    from _loaderscope_agent import instrument

    warnings.simplefilter("ignore")
    if method == "forkserver":
        multiprocessing.set_forkserver_preload(["torch", "torch.utils.data"])
    options = {"num_workers": 2, "multiprocessing_context": method} if method != "0" else {}
    notes = instrument.install()
    instrument.start_recording(log_dir, 1.0 if scenario == "hang" else 60.0)
    if scenario == "full-disk":
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    made = loader(scenario, options)
    error, batches = None, 0
    try:
        for _ in range(2 if scenario == "persistent" else 1):
            iterator = iter(made)
            for _ in iterator:
                batches += 1
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    del iterator, made
    summary = instrument.stop_recording()
    print(json.dumps({"notes": notes, "batches": batches, "error": error, "records": summary.records, "stopped": summary.stopped}))
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main(*sys.argv[1:])
