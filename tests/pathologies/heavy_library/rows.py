"""A dataset in a module that takes long to import."""

import torch
from torch.utils.data import Dataset


class Rows(Dataset):
    def __len__(self):
        return 256

    def __getitem__(self, index):
        return torch.full((8,), float(index))
