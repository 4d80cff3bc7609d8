"""A small training as they are usually written: a network learns to tell the photographs apart.

    loaderscope trace train_photos.py

Needs torch and Pillow. Each epoch trains, validates and writes a checkpoint into a temporary folder.
"""

import argparse
import gzip
import tempfile
from pathlib import Path

import torch
from photos import SIDE, Photos
from torch import nn
from torch.utils.data import DataLoader, Subset


def make_model(classes):
    side = SIDE // 16 - 1  # after the convolutions
    return nn.Sequential(
        nn.Conv2d(3, 24, kernel_size=7, stride=4, padding=2),
        nn.ReLU(),
        nn.Conv2d(24, 48, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(48, 64, kernel_size=3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * side * side, 512),
        nn.ReLU(),
        nn.Linear(512, classes),
    )


def train(model, optimizer, loader, device):
    """One epoch; returns its mean loss."""
    model.train()
    losses = []
    for batch in loader:
        images, labels = (part.to(device) for part in batch)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.no_grad()
def validate(model, loader, device):
    """The share of the samples whose photograph the model names."""
    model.eval()
    right = [(model(images.to(device)).argmax(dim=1) == labels.to(device)).float() for images, labels in loader]
    return torch.cat(right).mean().item()


def save_checkpoint(model, optimizer, path):
    """Compresses the checkpoint: slow, and little is gained, as weights look random."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--samples", type=int, default=384, help="of an epoch; a quarter as many validate")
    options = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(1)  # leaves the other cores to the workers
    device = "cuda" if torch.cuda.is_available() else "cpu"
    photos = Photos(length=options.samples + options.samples // 4)
    train_loader = DataLoader(Subset(photos, range(options.samples)), batch_size=16, shuffle=True, num_workers=1)
    test_loader = DataLoader(Subset(photos, range(options.samples, len(photos))), batch_size=32)
    model = make_model(len(photos.paths)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(options.epochs):
            loss = train(model, optimizer, train_loader, device)
            accuracy = validate(model, test_loader, device)
            save_checkpoint(model, optimizer, Path(folder) / f"epoch-{epoch}.pt.gz")
            print(f"epoch {epoch}  loss {loss:.3f}  accuracy {accuracy:.2f}")


if __name__ == "__main__":
    main()
