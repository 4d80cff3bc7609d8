"""Trains on letters of many sizes."""

import time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Letters(Dataset):
    def __len__(self):
        return 800

    def __getitem__(self, index):
        if index % 100 == 37:
            until = time.thread_time() + 0.25
            while time.thread_time() < until:
                np.sort(np.random.default_rng(index).random(4000))
        time.sleep(0.001)
        return torch.full((32,), float(index))


loader = DataLoader(Letters(), batch_size=8, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
