"""accelerate: a loop of one's own over a loader that `prepare` has returned, after a validation."""

import first_step  # noqa: F401
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def validate(model, loader):
    model.eval()
    total = 0.0
    for (inputs,) in loader:
        with torch.no_grad():
            total += model(inputs).square().mean().item()
    model.train()
    return total / len(loader)


def main():
    accelerator = Accelerator(cpu=True)
    model = nn.Linear(12, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    train_loader = DataLoader(TensorDataset(torch.randn(96, 12)), batch_size=4, shuffle=True)
    val_loader = DataLoader(TensorDataset(torch.randn(40, 12)), batch_size=8)
    model, optimizer, train_loader, val_loader = accelerator.prepare(model, optimizer, train_loader, val_loader)
    accelerator.print("before:", validate(model, val_loader))
    for (inputs,) in train_loader:
        with accelerator.accumulate(model):
            optimizer.zero_grad()
            accelerator.backward(model(inputs).square().mean())
            optimizer.step()
    accelerator.print("after:", validate(model, val_loader))


if __name__ == "__main__":
    main()
