"""Trains on tiles of a large map, which lies on disk."""

import os
import pathlib

import torch
from torch.utils.data import DataLoader, Dataset

PATH, TILES, TILE_BYTES, PAGE = pathlib.Path("map.bin"), 640, 1 << 17, 4096
if not PATH.exists():
    with open(f"{PATH}.{os.getpid()}", "wb") as file:
        for _ in range(TILES):
            file.write(os.urandom(TILE_BYTES))
        os.fsync(file.fileno())
    os.replace(file.name, PATH)


class Tiles(Dataset):
    def __len__(self):
        return TILES

    def __getitem__(self, index):
        file = os.open(PATH, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
            os.posix_fadvise(file, index * TILE_BYTES, TILE_BYTES, os.POSIX_FADV_DONTNEED)
            rows = [os.pread(file, PAGE, index * TILE_BYTES + row * PAGE) for row in range(TILE_BYTES // PAGE)]
        finally:
            os.close(file)
        return torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8)


def make_loader():
    return DataLoader(Tiles(), batch_size=8, shuffle=True, num_workers=2)


def train_step(batch):
    return batch[:, ::64].float().mean()


if __name__ == "__main__":
    for batch in make_loader():
        train_step(batch)
