"""MONAI: a SupervisedTrainer, which has a SupervisedEvaluator validate; that runs once before the training, too."""

import first_step  # noqa: F401
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from torch import nn


def samples(length):
    return [{"image": torch.rand(12), "label": torch.rand(1)} for _ in range(length)]


def main():
    model = nn.Linear(12, 1)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(samples(40)), batch_size=8),
        network=model,
    )
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(Dataset(samples(96)), batch_size=4),
        network=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        loss_function=nn.MSELoss(),
        train_handlers=[ValidationHandler(interval=1, validator=evaluator)],
    )
    evaluator.run()
    trainer.run()


if __name__ == "__main__":
    main()
