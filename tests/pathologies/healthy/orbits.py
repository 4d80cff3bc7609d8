"""Trains on orbits, in each epoch on other parts of them."""

import multiprocessing
import time

import torch
from torch.utils.data import DataLoader, Dataset


class Orbits(Dataset):
    def __init__(self):
        self.epoch = multiprocessing.Value("q", 0)
        self.places = torch.arange(64_000)

    def set_epoch(self, epoch):
        self.epoch.value = epoch

    def __len__(self):
        return 640

    def __getitem__(self, index):
        time.sleep(0.001)
        first = index * 100 + self.epoch.value * 7 % 36
        return self.places[first : first + 64]


def main():
    orbits = Orbits()
    loader = DataLoader(orbits, batch_size=16, shuffle=True, num_workers=2, persistent_workers=True)
    for epoch in range(3):
        orbits.set_epoch(epoch)
        for batch in loader:
            batch.sum()


if __name__ == "__main__":
    main()
