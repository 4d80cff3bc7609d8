"""Trains on the loads of bridges."""

import ctypes

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info


class Loads(Dataset):
    def __len__(self):
        return 800

    def __getitem__(self, index):
        if index == 300 and get_worker_info() is not None:
            ctypes.string_at(0)
        return torch.full((16,), float(index))


loader = DataLoader(Loads(), batch_size=8, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
