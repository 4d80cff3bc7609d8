"""Trains on chapters out of an archive."""

import os
import pathlib
import zipfile

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

PATH = pathlib.Path("chapters.zip")
if not PATH.exists():
    draw = np.random.default_rng(1)
    with zipfile.ZipFile(f"{PATH}.{os.getpid()}", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(200):
            archive.writestr(str(number), draw.integers(0, 60, 40_000, dtype=np.uint8).tobytes())
    os.replace(archive.filename, PATH)


class Chapters(Dataset):
    def __init__(self):
        self.archive = zipfile.ZipFile(PATH)

    def __len__(self):
        return 1600

    def __getitem__(self, index):
        text = self.archive.read(str(index % 200))
        return torch.frombuffer(bytearray(text), dtype=torch.uint8).float().mean()


loader = DataLoader(Chapters(), batch_size=16, shuffle=True, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
