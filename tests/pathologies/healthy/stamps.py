"""Trains on stamps, a small file for each."""

import pathlib

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

FOLDER = pathlib.Path("stamps")
if not FOLDER.exists():
    FOLDER.mkdir(exist_ok=True)
    draw = np.random.default_rng(1)
    for number in range(640):
        (FOLDER / f"{number:04d}.bin").write_bytes(draw.integers(0, 256, 12_288, dtype=np.uint8).tobytes())


class Stamps(Dataset):
    def __init__(self):
        self.files = sorted(FOLDER.glob("*.bin"))

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        picture = torch.frombuffer(bytearray(self.files[index].read_bytes()), dtype=torch.uint8)
        return picture.view(3, 64, 64).float().div_(255).flip(2)


def main():
    for batch in DataLoader(Stamps(), batch_size=16, shuffle=True, num_workers=2):
        batch.mean()


if __name__ == "__main__":
    main()
