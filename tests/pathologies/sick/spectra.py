"""Trains on the spectra of sounds."""

import torch
from torch.utils.data import DataLoader, Dataset


class Spectra(Dataset):
    def __init__(self):
        self.bands = torch.rand(512, 512)

    def __len__(self):
        return 480

    def __getitem__(self, index):
        sound = torch.full((512, 512), float(index % 7))
        return (self.bands @ sound).mean(0)


def prepare(worker):
    torch.set_num_threads(16)


loader = DataLoader(Spectra(), batch_size=8, num_workers=2, worker_init_fn=prepare)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
