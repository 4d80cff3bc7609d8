"""webdataset: a WebLoader over shards of samples."""

import pathlib

import first_step  # noqa: F401
import torch
import webdataset
from torch import nn

SHARDS = [f"train-{number:06d}.tar" for number in range(4)]


def write_shards():
    for start, name in enumerate(SHARDS):
        with webdataset.TarWriter(name) as shard:
            for number in range(24):
                shard.write({"__key__": f"{start}-{number:06d}", "pth": torch.randn(12), "cls": number % 3})


def main():
    if not pathlib.Path(SHARDS[-1]).exists():
        write_shards()
    dataset = webdataset.WebDataset(SHARDS, shardshuffle=4).shuffle(20).decode().to_tuple("pth", "cls").batched(4)
    loader = webdataset.WebLoader(dataset, batch_size=None, num_workers=1)
    model = nn.Linear(12, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for inputs, labels in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.as_tensor(inputs)), torch.as_tensor(labels)).backward()
        optimizer.step()


if __name__ == "__main__":
    main()
