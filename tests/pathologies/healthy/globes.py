"""Trains on globes that take a while to open the first time."""

import time

import torch
from torch.utils.data import DataLoader, Dataset


class Globes(Dataset):
    def __init__(self):
        self.opened = {}

    def __len__(self):
        return 320

    def __getitem__(self, index):
        if index not in self.opened:
            time.sleep(0.003)
            self.opened[index] = torch.full((3, 32, 32), float(index))
        return self.opened[index]


def main():
    loader = DataLoader(Globes(), batch_size=8, num_workers=2, persistent_workers=True)
    for _ in range(3):
        for batch in loader:
            batch.mean()


if __name__ == "__main__":
    main()
