"""A script that builds its dataset at its top level, which takes seconds: each spawned worker builds one of its own."""

import time

import torch
from torch.utils.data import DataLoader, Dataset


class Indexed(Dataset):
    def __init__(self, seconds):
        until = time.thread_time() + seconds
        self.count = 256
        while time.thread_time() < until:
            self.count = 256 + self.count % 1

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.full((8,), float(index))


dataset = Indexed(seconds=3.0)
loader = DataLoader(dataset, batch_size=8, num_workers=2)
