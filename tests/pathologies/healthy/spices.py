"""Trains on mixtures of spices that are drawn at random, as many as are asked for."""

import time

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class Mixtures(IterableDataset):
    def __init__(self):
        self.spices = torch.rand(40, 16)

    def __iter__(self):
        info = get_worker_info()
        for _ in range(960 if info is None else 960 // info.num_workers):
            time.sleep(0.001)
            yield self.spices[torch.randint(40, (3,))].mean(0)


def main():
    for batch in DataLoader(Mixtures(), batch_size=16, num_workers=2):
        batch.sum()


if __name__ == "__main__":
    main()
