"""Trains on panels of a comic."""

import time

import torch
from torch.utils.data import DataLoader, Dataset


class Panels(Dataset):
    def __len__(self):
        return 400

    def __getitem__(self, index):
        return torch.full((512, 1024), float(index))


def make_loader():
    return DataLoader(Panels(), batch_size=4, num_workers=2, prefetch_factor=32)


def train_step(batch):
    time.sleep(0.02)


if __name__ == "__main__":
    for batch in make_loader():
        train_step(batch)
