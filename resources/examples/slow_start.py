"""Workers that take long to start: a large dataset object to send to each of them, and work before the first sample.

loaderscope run slow_start.py --target make_loader --start-method fork,spawn --persistent-workers on,off -o start.loaderscope
"""

import random

import torch
from torch.utils.data import DataLoader, Dataset


class Sentences(Dataset):
    """Random sentences as rows of word numbers, kept as Python lists, which pickle slowly."""

    def __init__(self, length=20_000, words=64):
        rng = random.Random(0)
        self.rows = [[rng.randrange(30_000) for _ in range(words)] for _ in range(length)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return torch.tensor(self.rows[index])


def build_vocabulary(worker):
    """Stands for what many projects do in each worker: build a table, open a database."""
    global vocabulary
    vocabulary = {f"word-{number}": number for number in range(300_000)}


def make_loader():
    return DataLoader(Sentences(), batch_size=64, num_workers=2, worker_init_fn=build_vocabulary)


if __name__ == "__main__":
    for epoch in range(3):
        print(f"epoch {epoch}: {sum(batch.numel() for batch in make_loader())} words")
