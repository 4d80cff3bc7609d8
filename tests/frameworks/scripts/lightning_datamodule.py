"""Lightning: fit with a LightningDataModule, which makes the loaders when they are asked for."""

import first_step  # noqa: F401
import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Digits(lightning.LightningDataModule):
    def setup(self, stage):
        digits = TensorDataset(torch.randn(136, 12), torch.randint(0, 3, (136,)))
        self.train_set, self.val_set = random_split(digits, [96, 40])

    def train_dataloader(self):
        return DataLoader(self.train_set, batch_size=4, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val_set, batch_size=8)


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 3)

    def training_step(self, batch, batch_number):
        inputs, labels = batch
        return nn.functional.cross_entropy(self.layer(inputs), labels)

    def validation_step(self, batch, batch_number):
        inputs, labels = batch
        self.log("val_loss", nn.functional.cross_entropy(self.layer(inputs), labels))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


if __name__ == "__main__":
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(Classifier(), datamodule=Digits())
