"""hydra: the configuration comes from a file beside the script, and says how the loader is made."""

import first_step  # noqa: F401
import hydra
import torch
from omegaconf import DictConfig
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@hydra.main(version_base=None, config_path="hydra_conf", config_name="config")
def main(config: DictConfig) -> None:
    val_loader = DataLoader(TensorDataset(torch.randn(40, 12)), batch_size=8)
    train_loader = DataLoader(TensorDataset(torch.randn(config.data.length, 12)), batch_size=config.data.batch_size, shuffle=True)
    model = nn.Linear(12, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=config.learning_rate)
    with torch.no_grad():
        print("before:", sum(model(inputs).square().mean().item() for (inputs,) in val_loader))
    for (inputs,) in train_loader:
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


if __name__ == "__main__":
    main()
