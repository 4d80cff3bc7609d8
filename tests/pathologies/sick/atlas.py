"""Trains on places of an atlas."""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Places(Dataset):
    def __init__(self):
        self.heights = np.ones((110, 1024, 1024), dtype=np.float32)

    def __len__(self):
        return 400

    def __getitem__(self, index):
        return torch.from_numpy(self.heights[index % 110, :64, :64].copy())


def make_loader():
    return DataLoader(Places(), batch_size=8, num_workers=2)


if __name__ == "__main__":
    for batch in make_loader():
        batch.mean()
