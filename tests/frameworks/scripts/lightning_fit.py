"""Lightning: fit with a validation, before which it checks two of its batches."""

import first_step  # noqa: F401
import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class AutoEncoder(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 12))

    def training_step(self, batch, batch_number):
        return nn.functional.mse_loss(self.layers(batch[0]), batch[0])

    def validation_step(self, batch, batch_number):
        self.log("val_loss", nn.functional.mse_loss(self.layers(batch[0]), batch[0]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main():
    train_loader = DataLoader(TensorDataset(torch.randn(96, 12)), batch_size=4)
    val_loader = DataLoader(TensorDataset(torch.randn(40, 12)), batch_size=8)
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(AutoEncoder(), train_loader, val_loader)


if __name__ == "__main__":
    main()
