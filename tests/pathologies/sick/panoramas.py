"""Trains on panoramas, whose parts are joined side by side."""

import concurrent.futures

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

PARTS = 24


class Panoramas(Dataset):
    def __init__(self):
        self.pool = None

    def __len__(self):
        return 320

    def __getitem__(self, index):
        if self.pool is None:
            self.pool = concurrent.futures.ThreadPoolExecutor(PARTS)
        parts = self.pool.map(part_of, range(index, index + PARTS))
        return torch.tensor([float(part) for part in parts])


def part_of(number):
    return np.sort(np.random.default_rng(number).random(8000))[4000]


loader = DataLoader(Panoramas(), batch_size=4, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
