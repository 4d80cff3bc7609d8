"""Trains on the books of a library, shelf by shelf."""

import time

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class Books(IterableDataset):
    def __init__(self, shelves=1, books=960):
        self.shelves = [range(shelf * books, (shelf + 1) * books) for shelf in range(shelves)]

    def __iter__(self):
        info = get_worker_info()
        mine = self.shelves if info is None else self.shelves[info.id :: info.num_workers]
        for shelf in mine:
            for book in shelf:
                time.sleep(0.0015)
                yield torch.full((32,), float(book))


def make_loader():
    return DataLoader(Books(), batch_size=16, num_workers=2)


if __name__ == "__main__":
    for batch in make_loader():
        batch.mean()
