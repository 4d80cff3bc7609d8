"""Plain torch: a class whose `fit` validates before it trains, with gradients on, on loaders that look alike."""

import first_step  # noqa: F401
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Trainer:
    def __init__(self, model, train_loader, val_loader):
        self.model, self.train_loader, self.val_loader = model, train_loader, val_loader
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def fit(self, epochs):
        print("before:", self.validate())
        for _ in range(epochs):
            self.train_epoch()
            print("after:", self.validate())

    def train_epoch(self):
        self.model.train()
        for (inputs,) in self.train_loader:
            self.train_on(inputs)

    def train_on(self, inputs):
        self.optimizer.zero_grad()
        self.model(inputs).square().mean().backward()
        self.optimizer.step()

    def validate(self):
        self.model.eval()
        losses = []
        for (inputs,) in self.val_loader:
            losses.append(self.model(inputs).square().mean().item())
        return sum(losses) / len(losses)


def main():
    train_loader = DataLoader(TensorDataset(torch.randn(96, 12)), batch_size=4)
    val_loader = DataLoader(TensorDataset(torch.randn(40, 12)), batch_size=8)
    Trainer(nn.Linear(12, 1), train_loader, val_loader).fit(2)


if __name__ == "__main__":
    main()
