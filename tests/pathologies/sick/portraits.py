"""Trains on portraits."""

import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info


class Portraits(Dataset):
    def __len__(self):
        return 800

    def __getitem__(self, index):
        return torch.full((3, 16, 16), float(index))


def on_device(samples):
    batch = default_collate(samples)
    return batch if get_worker_info() is None else batch.to("cuda")


loader = DataLoader(Portraits(), batch_size=8, num_workers=2, collate_fn=on_device)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
