"""Trains on a stream of water levels, of which each worker reads a part."""

import random
import time

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class Levels(IterableDataset):
    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        info = get_worker_info()
        mine = list(range(960)) if info is None else list(range(info.id, 960, info.num_workers))
        random.Random(self.epoch).shuffle(mine)
        for number in mine:
            time.sleep(0.001)
            yield torch.tensor([number, number % 24])


def main():
    levels = Levels()
    loader = DataLoader(levels, batch_size=16, num_workers=2)
    for epoch in range(3):
        levels.set_epoch(epoch)
        for batch in loader:
            batch.sum()


if __name__ == "__main__":
    main()
