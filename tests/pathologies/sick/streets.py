"""Trains on street views, and remembers which were seen."""

import torch
from torch.utils.data import DataLoader, Dataset

visited = []


class Streets(Dataset):
    def __len__(self):
        return 3200

    def __getitem__(self, index):
        view = torch.rand(100_000)
        visited.append(view.tolist()[:8000])
        return view.mean()


loader = DataLoader(Streets(), batch_size=16, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
