"""Trains on reviews, the rare marks as often as the others."""

import torch
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

REVIEWS, BATCHES, SIZE = 8_000_000, 60, 32


class Reviews(Dataset):
    def __init__(self):
        self.marks = torch.randint(5, (REVIEWS,))

    def __len__(self):
        return REVIEWS

    def __getitem__(self, index):
        return self.marks[index]


def make_loader():
    reviews = Reviews()
    weights = (1.0 / torch.bincount(reviews.marks))[reviews.marks]
    sampler = WeightedRandomSampler(weights, BATCHES * SIZE, replacement=False)
    return DataLoader(reviews, batch_size=SIZE, sampler=sampler, num_workers=2)


if __name__ == "__main__":
    for batch in make_loader():
        batch.float().mean()
