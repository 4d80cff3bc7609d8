"""torch_geometric: graphs in memory, of which a DataLoader of its own makes batches."""

import first_step  # noqa: F401
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv, global_mean_pool

EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = GCNConv(5, 8)
        self.layer = nn.Linear(8, 2)

    def forward(self, batch):
        features = self.convolution(batch.x, batch.edge_index).relu()
        return self.layer(global_mean_pool(features, batch.batch))


def graphs(length):
    return [Data(x=torch.randn(3, 5), edge_index=EDGES, y=torch.tensor([number % 2])) for number in range(length)]


def accuracy(model, loader):
    model.eval()
    right = 0
    for batch in loader:
        right += int((model(batch).argmax(dim=1) == batch.y).sum())
    return right / len(loader.dataset)


def train(model, loader, optimizer):
    model.train()
    for batch in loader:
        loss = nn.functional.cross_entropy(model(batch), batch.y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def main():
    train_loader = DataLoader(graphs(96), batch_size=4, shuffle=True)
    test_loader = DataLoader(graphs(40), batch_size=8, shuffle=False)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    print("before:", accuracy(model, test_loader))
    train(model, train_loader, optimizer)
    print("after:", accuracy(model, test_loader))


if __name__ == "__main__":
    main()
