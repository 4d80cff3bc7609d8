"""torchdata: a Loader over nodes, which is no DataLoader of torch."""

import first_step  # noqa: F401
import torch
from torch import nn
from torch.utils.data import RandomSampler, default_collate
from torchdata.nodes import Batcher, Loader, ParallelMapper, SamplerWrapper


def sample(index):
    return torch.full((12,), float(index))


def main():
    batches = Batcher(SamplerWrapper(RandomSampler(range(96))), batch_size=4)
    loader = Loader(
        ParallelMapper(batches, lambda indices: default_collate([sample(index) for index in indices]), num_workers=1, method="thread")
    )
    model = nn.Linear(12, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    for inputs in loader:
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


if __name__ == "__main__":
    main()
