"""Lightning Fabric: a loop of one's own over a loader that Fabric has set up."""

import first_step  # noqa: F401
import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    model = nn.Linear(12, 1)
    model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))
    val_loader = DataLoader(TensorDataset(torch.randn(40, 12)), batch_size=8)
    train_loader = DataLoader(TensorDataset(torch.randn(96, 12)), batch_size=4, shuffle=True)
    train_loader, val_loader = fabric.setup_dataloaders(train_loader, val_loader)
    model.eval()
    with torch.no_grad():
        print("before:", sum(model(inputs).square().mean() for (inputs,) in val_loader))
    model.train()
    for (inputs,) in train_loader:
        optimizer.zero_grad()
        loss = model(inputs).square().mean()
        fabric.backward(loss)
        optimizer.step()


if __name__ == "__main__":
    main()
