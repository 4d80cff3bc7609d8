"""Trains on scans of statues, a few large ones in each batch."""

import time

import torch
from torch.utils.data import DataLoader, Dataset


class Statues(Dataset):
    def __len__(self):
        return 160

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return torch.rand((1_000_000,), generator=generator)


def make_loader():
    return DataLoader(Statues(), batch_size=4, shuffle=True, num_workers=2)


def train_step(batch):
    time.sleep(0.06)


if __name__ == "__main__":
    for batch in make_loader():
        train_step(batch)
