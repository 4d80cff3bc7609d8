"""timm: a training on the loaders of create_loader without its prefetcher, which keep their workers from epoch to epoch."""

import first_step  # noqa: F401
import timm
import torch
from PIL import Image
from timm.data import create_loader
from timm.optim import create_optimizer_v2
from torch import nn


class Colours(torch.utils.data.Dataset):
    def __init__(self, length):
        self.length = length
        self.transform = None  # create_loader sets it

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.transform(Image.new("RGB", (40, 40), (index % 256, 80, 160))), index % 3


def loader(dataset, batch_size, is_training):
    return create_loader(
        dataset,
        input_size=(3, 32, 32),
        batch_size=batch_size,
        is_training=is_training,
        use_prefetcher=False,
        use_multi_epochs_loader=True,
        num_workers=1,
        device=torch.device("cpu"),
        persistent_workers=False,
    )


def validate(model, batches):
    model.eval()
    with torch.no_grad():
        return sum((model(images).argmax(1) == labels).sum().item() for images, labels in batches)


def main():
    train_batches = loader(Colours(96), 4, is_training=True)
    val_batches = loader(Colours(40), 8, is_training=False)
    model = timm.create_model("test_vit", pretrained=False, num_classes=3, img_size=32)
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.01)
    print("right before:", validate(model, val_batches))
    model.train()
    for images, labels in train_batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    print("right after:", validate(model, val_batches))


if __name__ == "__main__":
    main()
