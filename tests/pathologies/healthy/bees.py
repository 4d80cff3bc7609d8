"""Trains on the flights of bees, each with a wind of its own."""

import random
import time

import torch
from torch.utils.data import DataLoader, Dataset


class Flights(Dataset):
    def __init__(self):
        self.wind = random.Random(0)

    def __len__(self):
        return 960

    def __getitem__(self, index):
        time.sleep(0.001)
        self.wind.seed(index)
        return torch.tensor([float(index) + self.wind.random() for _ in range(20)])


def main():
    for _ in range(2):
        for batch in DataLoader(Flights(), batch_size=16, shuffle=True, num_workers=2):
            batch.sum()


if __name__ == "__main__":
    main()
