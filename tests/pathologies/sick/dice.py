"""Trains on throws of dice."""

import random
import time

import torch
from torch.utils.data import DataLoader, Dataset


class Throws(Dataset):
    def __init__(self):
        self.dice = random.Random(7)

    def __len__(self):
        return 960

    def __getitem__(self, index):
        time.sleep(0.001)
        return torch.tensor([self.dice.randint(1, 6) for _ in range(20)])


loader = DataLoader(Throws(), batch_size=16, num_workers=2)

if __name__ == "__main__":
    for _ in range(2):
        for batch in loader:
            batch.sum()
