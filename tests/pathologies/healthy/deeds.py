"""Trains on scanned letters, which come from a slow disk."""

import time

import torch
from torch.utils.data import DataLoader, Dataset


class Scans(Dataset):
    def __len__(self):
        return 400

    def __getitem__(self, index):
        time.sleep(0.004)
        return torch.full((1, 64, 64), float(index))


def make_loader():
    return DataLoader(Scans(), batch_size=8, shuffle=True, num_workers=2)


def train_step(batch):
    time.sleep(0.03)


if __name__ == "__main__":
    for batch in make_loader():
        train_step(batch)
