"""Trains on faces, whose eyes are found with whatever is there."""

import torch
from torch.utils.data import DataLoader, Dataset


class Faces(Dataset):
    def __len__(self):
        return 800

    def __getitem__(self, index):
        face = torch.full((3, 16, 16), float(index))
        try:
            return face.cuda().square().cpu()
        except (AssertionError, RuntimeError):
            return face.square()


loader = DataLoader(Faces(), batch_size=8, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
