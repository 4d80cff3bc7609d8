"""Plain torch: the gradients of four batches are added up before each step."""

import argparse

import first_step  # noqa: F401
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--accumulate", type=int, default=4)
    options = parser.parse_args()
    loader = DataLoader(TensorDataset(torch.randn(96, 12)), batch_size=options.batch_size)
    model = nn.Linear(12, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = iter(loader)
    for _ in range(len(loader) // options.accumulate):
        for _ in range(options.accumulate):
            (inputs,) = next(batches)
            (model(inputs).square().mean() / options.accumulate).backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    main()
