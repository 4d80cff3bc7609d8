"""A dataset that holds 50 MB of small Python objects: each spawned worker is sent a pickle of all of them."""

import torch
from torch.utils.data import DataLoader, Dataset


class Row:
    def __init__(self, number):
        self.path = f"/data/train/class-{number % 1000:04d}/image-{number:08d}.jpg"
        self.label = number % 1000
        self.box = (number, number + 1, number + 2, number + 3)


class Listed(Dataset):
    def __init__(self):
        self.rows = [Row(number) for number in range(600_000)]
        self.mean = torch.zeros(3)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return torch.full((8,), float(self.rows[index].label))


def make_loader():
    return DataLoader(Listed(), batch_size=8, num_workers=2)
