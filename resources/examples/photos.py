"""A training input pipeline as they are usually written: decode photographs, augment them, batch them.

    loaderscope run photos.py --target train_loader -o photos.loaderscope

Needs torch and Pillow. The photographs lie next to this folder; photos/CREDITS.md names their authors.
"""

import random
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

PHOTOS = Path(__file__).resolve().parent.parent / "photos"
SIDE = 160  # pixels of a training image


class Photos(Dataset):
    """`length` samples, each a random crop of one of the photographs. The same index always gives the same sample."""

    def __init__(self, folder=PHOTOS, length=640):
        self.paths = sorted(Path(folder).glob("*.jpg"))
        if not self.paths:
            raise FileNotFoundError(f"no .jpg files in {folder}")
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        label = index % len(self.paths)
        with Image.open(self.paths[label]) as file:
            image = file.convert("RGB")  # decodes; most of the time goes here
        return to_tensor(augment(image, random.Random(index))), label


def augment(image, rng):
    """A random crop of half to all of the shorter side, resized, and mirrored half of the time."""
    side = int(min(image.size) * rng.uniform(0.5, 1.0))
    left = rng.randint(0, image.width - side)
    top = rng.randint(0, image.height - side)
    image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def to_tensor(image):
    """Channels first, floats from 0 to 1."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 3).permute(2, 0, 1).float().div_(255)


def make_train_step():
    """The step of the training, on the accelerator if there is one. Called once, never in a worker."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, kernel_size=7, stride=4),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, kernel_size=3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, len(train_set.paths)),
    ).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def train_step(batch):
        images, labels = (part.to(device) for part in batch)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    return train_step


train_set = Photos()
train_loader = DataLoader(train_set, batch_size=16, shuffle=True)

# Workers started by spawn or forkserver import this file again: without this guard each of them would train, too.
if __name__ == "__main__":
    step = make_train_step()
    for number, batch in enumerate(train_loader):
        loss = step(batch)
        print(f"batch {number:3d}  loss {loss.item():.3f}")
