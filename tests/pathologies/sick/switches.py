"""Trains on the states of switches, which a thread refreshes."""

import threading
import time

import torch
from torch.utils.data import DataLoader, Dataset


class Switches(Dataset):
    def __init__(self):
        self.states = torch.zeros(64)
        self.guard = threading.Lock()
        threading.Thread(target=self.refresh, daemon=True).start()

    def refresh(self):
        while True:
            with self.guard:
                self.states += 1.0
                time.sleep(0.02)
            time.sleep(0.0005)

    def __len__(self):
        return 64

    def __getitem__(self, index):
        with self.guard:
            return self.states.clone()


loader = DataLoader(Switches(), batch_size=8, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.mean()
