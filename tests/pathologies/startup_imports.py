"""A script whose imports take seconds: each spawned worker repeats them."""

import heavy_library
import torch
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __len__(self):
        return 256

    def __getitem__(self, index):
        return torch.full((8,), float(index)) * len(heavy_library.TABLE)


def make_loader():
    return DataLoader(Numbers(), batch_size=8, num_workers=2)
