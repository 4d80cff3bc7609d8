"""Run as a script: every kind of loader, plain and recorded, under one start method; prints what a consumer saw, as JSON.

python matrix_cases.py METHOD LOG_DIR few|all      METHOD is fork, spawn, forkserver, or 0 for no workers
"""

import collections
import hashlib
import json
import multiprocessing
import sys
import traceback
import warnings

import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
    get_worker_info,
)

try:
    from torchdata.stateful_dataloader import StatefulDataLoader
except ImportError:
    StatefulDataLoader = None


class Map(Dataset):
    def __init__(self, length=40):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return torch.full((4,), float(index)) + torch.rand(4), index


class Getitems(Map):
    def __getitems__(self, indices):
        assert type(indices) is list
        return [self[index] for index in indices]


class Shards(IterableDataset):
    def __init__(self, length=40):
        self.length = length

    def __iter__(self):
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        for index in range(first, self.length, step):
            yield torch.full((4,), float(index)), index


class DuckTyped:
    def __len__(self):
        return 20

    def __getitem__(self, index):
        return {"a": float(index), "b": [index, index]}


Pair = collections.namedtuple("Pair", "x y")


class Pairs(Map):
    def __getitem__(self, index):
        return Pair(torch.tensor(index), str(index))


class Subclass(DataLoader):
    def __iter__(self):
        yield from super().__iter__()


class Raising(Map):
    def __getitem__(self, index):
        if index == 17:
            raise KeyError(f"sample {index} is broken")
        return index


class RaisingShards(Shards):
    def __iter__(self):
        for index, sample in enumerate(super().__iter__()):
            if index == 7:
                raise ValueError("the stream broke")
            yield sample


class Curious(Map):
    """Tells what the dataset and the user's functions can see of their surroundings."""

    def __getitem__(self, index):
        info = get_worker_info()
        seen = (type(info).__name__, type(info.dataset).__name__, info.dataset is self, info.num_workers, info.seed) if info else None
        return index, type(self).__name__, type(index).__name__, str(seen)


class Nested(Map):
    """Uses a loader of its own for each sample."""

    def __getitem__(self, index):
        return torch.cat(list(DataLoader(TensorDataset(torch.arange(6.0) + index), 3, collate_fn=first_of_pairs)))


def first_of_pairs(samples):
    return torch.stack([sample[0] for sample in samples])


def sum_and_indices(samples):
    assert type(samples) is list
    return torch.stack([sample for sample, _ in samples]).sum(), [index for _, index in samples]


def broken_collate(samples):
    raise RuntimeError(f"cannot collate {len(samples)} samples")


def seed_again(worker):
    torch.manual_seed(worker)


def broken_init(worker):
    raise OSError(f"worker {worker} has no disk")


def cases(method, which="all"):
    """name → (make a loader, epochs)"""
    # A spawned worker imports torch, so it is one where the table is short.
    workers = 1 if method == "spawn" and which == "few" else 2
    options = {"num_workers": workers, "multiprocessing_context": method} if method != "0" else {}

    def loader(dataset, batch_size=8, kind=DataLoader, **more):
        return lambda: kind(dataset, batch_size, **{**options, **more})

    table = {
        "map": (loader(Map()), 1),
        "shuffle with generator": (lambda: DataLoader(Map(), 8, shuffle=True, generator=torch.Generator().manual_seed(1), **options), 2),
        "getitems": (loader(Getitems()), 1),
        "collate and init": (loader(Map(), collate_fn=sum_and_indices, worker_init_fn=seed_again), 1),
        "batch sampler": (lambda: DataLoader(Map(), batch_sampler=BatchSampler(SequentialSampler(range(40)), 7, False), **options), 1),
        "sampler": (loader(Map(), sampler=[3, 1, 4, 1, 5, 9, 2, 6]), 1),
        "batch_size none": (loader(Map(10), None), 1),
        "iterable": (loader(Shards()), 2),
        "iterable, batch_size none": (loader(Shards(10), None), 1),
        "iterable, drop last": (loader(Shards(37), drop_last=True), 1),
        "duck-typed": (loader(DuckTyped()), 1),
        "namedtuple": (loader(Pairs()), 1),
        "tensors": (loader(TensorDataset(torch.arange(30.0))), 1),
        "subset and concat": (loader(ConcatDataset([Subset(Map(), [1, 2, 3]), Map(10)])), 1),
        "subclass": (loader(Map(), kind=Subclass), 1),
        "what the worker sees": (loader(Curious(), collate_fn=None), 1),
        "loader in a dataset": (loader(Nested(8), 2), 1),
        "raises at a sample": (loader(Raising()), 1),
        "iterable raises": (loader(RaisingShards()), 1),
        "collate raises": (loader(Map(), collate_fn=broken_collate), 1),
        "empty": (loader(TensorDataset(torch.empty(0))), 1),
        "pin_memory": (loader(Map(), pin_memory=True), 1),
    }
    if method != "0":
        table["init raises"] = (loader(Map(), worker_init_fn=broken_init), 1)
        table["prefetch 4"] = (loader(Map(), prefetch_factor=4), 1)
        table["timeout"] = (loader(Map(), timeout=60), 1)
        table["persistent"] = (loader(Map(), persistent_workers=True), 3)
        table["persistent iterable"] = (loader(Shards(), persistent_workers=True), 2)
        table["not in order"] = (loader(Pairs(), in_order=False), 1)
        table["lambda as collate"] = (loader(Map(), collate_fn=lambda samples: samples), 1)
    if StatefulDataLoader is not None:
        table["stateful"] = (loader(Map(), kind=StatefulDataLoader, snapshot_every_n_steps=2), 2)
    return table


FEW = {
    "spawn": ("collate and init", "raises at a sample"),
    "forkserver": ("map", "collate and init", "iterable", "namedtuple", "raises at a sample", "persistent", "not in order"),
}
"""Enough for start methods whose workers import the main module: what these do once they run is the same in all."""


def names(method, which):
    return FEW[method] if which == "few" else tuple(cases(method))


def digest(value, into):
    if isinstance(value, torch.Tensor):
        into.update(str((value.dtype, tuple(value.shape))).encode() + value.numpy().tobytes())
    elif isinstance(value, dict):
        for key in value:
            into.update(repr(key).encode())
            digest(value[key], into)
    elif isinstance(value, (list, tuple)):
        into.update(type(value).__name__.encode())
        for item in value:
            digest(item, into)
    else:
        into.update(repr(value).encode())


def consume(make, epochs):
    """Digests of the batches in the order they came, and the text of the exception that ended them."""
    torch.manual_seed(0)
    batches, error, iterator = [], None, None
    try:
        loader = make()
        before = (loader.dataset, loader.collate_fn, loader.worker_init_fn, sorted(vars(loader)))
        for _ in range(epochs):
            iterator = iter(loader)
            for batch in iterator:
                into = hashlib.sha256()
                digest(batch, into)
                batches.append(into.hexdigest()[:12])
        after = (loader.dataset, loader.collate_fn, loader.worker_init_fn, sorted(vars(loader)))
        batches.append("loader untouched" if before == after else "loader changed")
    except Exception as raised:
        frames = traceback.extract_tb(raised.__traceback__)
        error = {"type": type(raised).__name__, "text": str(raised), "functions": [[frame.filename, frame.name] for frame in frames]}
        if sys.version_info < (3, 11):  # there our frames stay in a traceback
            error = {"type": type(raised).__name__, "text": str(raised).splitlines()[-1:]}
        # Else the traceback keeps torch's iterator until some garbage collection, which then waits 5 s for each worker.
        if hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()
        traceback.clear_frames(raised.__traceback__)
    return {"batches": batches, "error": error}


def main(method, log_dir, which):
    import agent_package

    agent_package.load()
    from _loaderscope_agent import instrument

    warnings.simplefilter("ignore")
    if method == "forkserver":
        multiprocessing.set_forkserver_preload(["torch", "torch.utils.data"])
    seen = {}
    for name in names(method, which):
        make, epochs = cases(method, which)[name]
        seen[name] = {"plain": consume(make, epochs)}
    instrument.install()
    for name in names(method, which):
        make, epochs = cases(method, which)[name]
        instrument.start_recording(log_dir, 60.0, thin_samples=False)
        seen[name]["recorded"] = consume(make, epochs)
        seen[name]["records"] = instrument.stop_recording().records
    instrument.uninstall()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
