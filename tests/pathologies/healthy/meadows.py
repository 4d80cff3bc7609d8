"""Trains on random parts of aerial pictures."""

import time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info


class Meadows(Dataset):
    def __init__(self):
        self.pictures = torch.rand(16, 64, 64)
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return 960

    def __getitem__(self, index):
        time.sleep(0.001)
        row, column = np.random.randint(0, 32, 2)
        part = self.pictures[index % 16, row : row + 32, column : column + 32]
        return part + float(self.rng.normal())


def prepare(worker):
    info = get_worker_info()
    info.dataset.rng = np.random.default_rng(info.seed)


def main():
    loader = DataLoader(Meadows(), batch_size=16, shuffle=True, num_workers=2, worker_init_fn=prepare)
    for _ in range(2):
        for batch in loader:
            batch.mean()


if __name__ == "__main__":
    main()
