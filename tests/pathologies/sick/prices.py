"""Trains on series of prices that all processes keep in common."""

import multiprocessing

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Prices(Dataset):
    def __init__(self, series):
        self.series = series
        for number in range(20):
            series[number] = np.full(200_000, float(number))

    def __len__(self):
        return 480

    def __getitem__(self, index):
        return torch.from_numpy(self.series[index % 20])[:256].clone()


def make_loader():
    global manager
    manager = multiprocessing.Manager()
    return DataLoader(Prices(manager.dict()), batch_size=8, num_workers=2)


if __name__ == "__main__":
    for batch in make_loader():
        batch.mean()
