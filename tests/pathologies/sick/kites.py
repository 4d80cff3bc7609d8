"""Trains on pictures of kites."""

import torch
from torch.utils.data import DataLoader, Dataset


class Kites(Dataset):
    def __init__(self):
        self.scale = lambda picture: picture / 255

    def __len__(self):
        return 800

    def __getitem__(self, index):
        return self.scale(torch.full((16,), float(index)))


def make_loader():
    return DataLoader(Kites(), batch_size=8, num_workers=2, multiprocessing_context="spawn")


if __name__ == "__main__":
    for batch in make_loader():
        batch.mean()
