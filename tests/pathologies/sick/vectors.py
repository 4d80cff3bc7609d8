"""Trains on the vectors of words."""

import torch
from torch.utils.data import DataLoader, Dataset


class Vectors(Dataset):
    def __init__(self):
        self.table = torch.nn.Embedding(1000, 32)

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return self.table(torch.tensor(index))


def as_list(samples):
    return samples


loader = DataLoader(Vectors(), batch_size=16, collate_fn=as_list, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        len(batch)
