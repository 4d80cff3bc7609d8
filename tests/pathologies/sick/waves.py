"""Trains on the heights of waves."""

import os

import torch
from torch.utils.data import DataLoader, Dataset


class Waves(Dataset):
    def __len__(self):
        return 800

    def __getitem__(self, index):
        height = float(index)
        for _ in range(20_000):
            height = height * 0.999 + 1.0
        return torch.tensor(height)


def prepare(worker):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


loader = DataLoader(Waves(), batch_size=8, num_workers=2, worker_init_fn=prepare)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
