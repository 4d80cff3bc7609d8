"""datasets: an IterableDataset over shards, shuffled by itself, below a DataLoader."""

import first_step  # noqa: F401
import torch
from datasets import IterableDataset
from torch import nn
from torch.utils.data import DataLoader


def rows(shards):
    for shard in shards:
        for number in range(24):
            yield {"inputs": [float(shard + number + place) for place in range(12)], "label": number % 3}


def main():
    dataset = IterableDataset.from_generator(rows, gen_kwargs={"shards": list(range(4))})
    loader = DataLoader(dataset.shuffle(seed=0, buffer_size=20).with_format("torch"), batch_size=4, num_workers=2)
    model = nn.Linear(12, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for epoch in range(2):
        dataset.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch["inputs"]), batch["label"]).backward()
            optimizer.step()


if __name__ == "__main__":
    main()
