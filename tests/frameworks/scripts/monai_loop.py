"""MONAI: one batch is looked at, then a loop trains and validates."""

import first_step  # noqa: F401
import monai
import torch
from monai.data import CacheDataset, DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, RandFlipd, ScaleIntensityd


def volumes(length):
    return [{"image": torch.rand(8, 8), "label": torch.rand(8, 8).round()} for _ in range(length)]


def main():
    transforms = Compose(
        [
            EnsureChannelFirstd(["image", "label"], channel_dim="no_channel"),
            ScaleIntensityd("image"),
            RandFlipd(["image", "label"], prob=0.5, spatial_axis=0),
        ]
    )
    check_loader = DataLoader(Dataset(volumes(20), transforms), batch_size=10)
    print(monai.utils.misc.first(check_loader)["image"].shape)
    train_loader = DataLoader(CacheDataset(volumes(96), transforms, cache_rate=1.0, progress=False), batch_size=4, shuffle=True)
    val_loader = DataLoader(CacheDataset(volumes(40), transforms, progress=False), batch_size=8)
    model = monai.networks.nets.UNet(spatial_dims=2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,))
    loss_function = monai.losses.DiceLoss(sigmoid=True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    model.train()
    for batch in train_loader:
        optimizer.zero_grad()
        loss = loss_function(model(batch["image"]), batch["label"])
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        print("after:", sum(loss_function(model(batch["image"]), batch["label"]).item() for batch in val_loader))


if __name__ == "__main__":
    main()
