"""Trains on groups of neighbours in a graph."""

import random

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset

NODES, BATCHES, SIZE = 20_000, 80, 32


class Nodes(Dataset):
    def __init__(self):
        self.rows = torch.rand(NODES, 16)

    def __len__(self):
        return NODES

    def __getitem__(self, index):
        return self.rows[index]


class Groups(BatchSampler):
    def __init__(self, edges):
        self.edges = edges

    def __len__(self):
        return BATCHES

    def __iter__(self):
        for _ in range(BATCHES):
            reached = {random.randrange(NODES)}
            border = list(reached)
            while len(reached) < 12_000:
                border = [other for node in border for other in self.edges[node]] or [random.randrange(NODES)]
                reached.update(border)
                border = random.sample(border, min(len(border), 600))
            yield random.sample(sorted(reached), SIZE)


def make_loader():
    edges = [[random.randrange(NODES) for _ in range(4)] for _ in range(NODES)]
    return DataLoader(Nodes(), batch_sampler=Groups(edges), num_workers=2)


if __name__ == "__main__":
    for batch in make_loader():
        batch.mean()
