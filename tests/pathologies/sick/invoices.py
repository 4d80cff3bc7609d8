"""Trains on invoices, and can be continued where it was ended."""

import torch
from torch.utils.data import Dataset
from torchdata.stateful_dataloader import StatefulDataLoader


class Invoices(Dataset):
    def __init__(self):
        self.seen = list(range(20_000))

    def state_dict(self):
        return {"seen": list(self.seen)}

    def load_state_dict(self, state):
        self.seen = state["seen"]

    def __len__(self):
        return 1600

    def __getitem__(self, index):
        return torch.full((32,), float(self.seen[index]))


loader = StatefulDataLoader(Invoices(), batch_size=8, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
