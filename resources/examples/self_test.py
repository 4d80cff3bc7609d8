"""A small dataset for `loaderscope doctor --selftest`: what its workers take to start is what this system makes them take.

loaderscope run self_test.py --startup -o start.loaderscope
"""

import time

import torch
from torch.utils.data import DataLoader, Dataset

SAMPLE_S = 0.002


class Numbers(Dataset):
    """Costs next to nothing to send to a worker, and little to read from."""

    def __len__(self):
        return 1024

    def __getitem__(self, index):
        time.sleep(SAMPLE_S)
        return torch.full((16,), float(index))


def make_loader():
    return DataLoader(Numbers(), batch_size=8)
