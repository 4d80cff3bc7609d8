"""Trains on a stream of news."""

import random
import time

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class News(IterableDataset):
    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        info = get_worker_info()
        mine = list(range(800)) if info is None else list(range(info.id, 800, info.num_workers))
        random.Random(self.epoch).shuffle(mine)
        for number in mine:
            time.sleep(0.001)
            yield torch.tensor([number])


news = News()
loader = DataLoader(news, batch_size=16, num_workers=2, persistent_workers=True)

if __name__ == "__main__":
    for epoch in range(3):
        news.set_epoch(epoch)
        for batch in loader:
            batch.sum()
