"""datasets: a Dataset in torch's format below a DataLoader."""

import first_step  # noqa: F401
import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader


def main():
    rows = {"inputs": torch.randn(136, 12).tolist(), "label": [number % 3 for number in range(136)]}
    parts = Dataset.from_dict(rows).train_test_split(test_size=40).with_format("torch")
    train_loader = DataLoader(parts["train"], batch_size=4, shuffle=True)
    test_loader = DataLoader(parts["test"], batch_size=8)
    model = nn.Linear(12, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.eval()
    with torch.inference_mode():
        print("before:", sum((model(batch["inputs"]).argmax(1) == batch["label"]).sum().item() for batch in test_loader))
    model.train()
    for batch in train_loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch["inputs"]), batch["label"]).backward()
        optimizer.step()


if __name__ == "__main__":
    main()
