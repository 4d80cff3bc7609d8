"""ignite: a trainer, and an evaluator that runs when the training begins and after each epoch."""

import first_step  # noqa: F401
import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Loss
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def dataset(length):
    return TensorDataset(torch.randn(length, 12), torch.randn(length, 1))


def main():
    train_loader = DataLoader(dataset(96), batch_size=4)
    val_loader = DataLoader(dataset(40), batch_size=8)
    model, criterion = nn.Linear(12, 1), nn.MSELoss()
    trainer = create_supervised_trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), criterion)
    evaluator = create_supervised_evaluator(model, metrics={"loss": Loss(criterion)})

    @trainer.on(Events.STARTED | Events.EPOCH_COMPLETED)
    def validate(engine):
        evaluator.run(val_loader)
        print(evaluator.state.metrics)

    trainer.run(train_loader, max_epochs=1)


if __name__ == "__main__":
    main()
