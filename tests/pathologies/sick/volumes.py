"""Trains on cubes cut out of a scan."""

import numpy as np
from torch.utils.data import DataLoader, Dataset


class Cubes(Dataset):
    def __init__(self):
        self.scan = np.zeros((256, 256, 256), dtype=np.float32)

    def __len__(self):
        return 640

    def __getitem__(self, index):
        first = index % 128
        return self.scan[first : first + 64, :64, :64].copy()


def as_list(samples):
    return samples


loader = DataLoader(Cubes(), batch_size=16, collate_fn=as_list, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        len(batch)
