"""Trains on days of a year; those of one season follow each other."""

import time

import torch
from torch.utils.data import DataLoader, Dataset


class Days(Dataset):
    def __len__(self):
        return 960

    def __getitem__(self, index):
        time.sleep(0.006 if index // 64 % 4 == 0 else 0.0005)
        return torch.full((32,), float(index))


def make_loader():
    return DataLoader(Days(), batch_size=8, num_workers=2, prefetch_factor=1)


def train_step(batch):
    time.sleep(0.009)


if __name__ == "__main__":
    for batch in make_loader():
        train_step(batch)
