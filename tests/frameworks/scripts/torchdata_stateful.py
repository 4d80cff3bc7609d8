"""torchdata: a StatefulDataLoader whose state goes into a checkpoint, after a validation."""

import first_step  # noqa: F401
import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader


def main():
    train_loader = StatefulDataLoader(TensorDataset(torch.randn(96, 12)), batch_size=4, num_workers=1)
    val_loader = StatefulDataLoader(TensorDataset(torch.randn(40, 12)), batch_size=8)
    model = nn.Linear(12, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.no_grad():
        print("before:", sum(model(inputs).square().mean().item() for (inputs,) in val_loader))
    for step, (inputs,) in enumerate(train_loader):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
        if step == 4:
            torch.save({"model": model.state_dict(), "loader": train_loader.state_dict()}, "checkpoint.pt")


if __name__ == "__main__":
    main()
