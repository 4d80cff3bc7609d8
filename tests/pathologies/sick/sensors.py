"""Trains on a stream of sensor values."""

import time

import torch
from torch.utils.data import DataLoader, IterableDataset


class Values(IterableDataset):
    def __iter__(self):
        for number in range(800):
            time.sleep(0.001)
            yield torch.tensor([number, number % 7, number % 24])


def make_loader():
    return DataLoader(Values(), batch_size=16, num_workers=2)


if __name__ == "__main__":
    for batch in make_loader():
        batch.sum()
