"""Lightning: a test of the untrained model first, then fit, then the test again."""

import first_step  # noqa: F401
import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Regression(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 1)

    def loss_of(self, batch):
        inputs, targets = batch
        return nn.functional.mse_loss(self.layer(inputs), targets)

    def training_step(self, batch, batch_number):
        return self.loss_of(batch)

    def test_step(self, batch, batch_number):
        self.log("test_loss", self.loss_of(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def dataset(length):
    return TensorDataset(torch.randn(length, 12), torch.randn(length, 1))


if __name__ == "__main__":
    train_loader = DataLoader(dataset(96), batch_size=4)
    test_loader = DataLoader(dataset(40), batch_size=8)
    model = Regression()
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.test(model, test_loader)
    trainer.fit(model, train_loader)
    trainer.test(model, test_loader)
