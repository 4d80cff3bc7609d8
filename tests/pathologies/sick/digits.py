"""Trains on digits, one at a time."""

import torch
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self):
        self.pictures = torch.rand(2000, 28 * 28)

    def __len__(self):
        return 2000

    def __getitem__(self, index):
        return self.pictures[index]


loader = DataLoader(Digits(), batch_size=1, shuffle=True, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
