"""Trains on speeches."""

import torch
from torch.utils.data import DataLoader, Dataset


class Speeches(Dataset):
    def __len__(self):
        return 800

    def __getitem__(self, index):
        return {"sound": torch.zeros(1600 if index % 37 else 1700), "number": index}


loader = DataLoader(Speeches(), batch_size=16, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch["sound"].mean()
