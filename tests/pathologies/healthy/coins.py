"""Trains on coins, few of which are large."""

import time

import torch
from torch.utils.data import DataLoader, Dataset


class Coins(Dataset):
    def __len__(self):
        return 800

    def __getitem__(self, index):
        time.sleep(0.04 if index == 611 else 0.002)
        return torch.full((64,), float(index))


def make_loader():
    return DataLoader(Coins(), batch_size=8, num_workers=2)


def train_step(batch):
    time.sleep(0.015)


if __name__ == "__main__":
    for batch in make_loader():
        train_step(batch)
