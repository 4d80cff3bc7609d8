"""Trains on signals with noise."""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Blurred:
    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def __call__(self, signal):
        return signal + torch.from_numpy(self.rng.normal(size=signal.shape))


class Signals(Dataset):
    def __init__(self):
        self.transform = Blurred()

    def __len__(self):
        return 1600

    def __getitem__(self, index):
        return self.transform(torch.full((4000,), float(index), dtype=torch.double))


def make_loader():
    return DataLoader(Signals(), batch_size=16, shuffle=True, num_workers=2)


if __name__ == "__main__":
    for _ in range(2):
        for batch in make_loader():
            batch.mean()
