"""litdata: the samples are written as chunks once, and streamed from there."""

import pathlib

import first_step  # noqa: F401
import litdata
import torch
from torch import nn


def sample(index):
    return {"inputs": torch.full((12,), float(index)), "label": index % 3}


def main():
    if not pathlib.Path("chunks").exists():
        litdata.optimize(fn=sample, inputs=list(range(96)), output_dir="chunks", chunk_bytes="64KB", num_workers=1)
    dataset = litdata.StreamingDataset("chunks", shuffle=True)
    loader = litdata.StreamingDataLoader(dataset, batch_size=4)
    model = nn.Linear(12, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for batch in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch["inputs"]), batch["label"]).backward()
        optimizer.step()


if __name__ == "__main__":
    main()
