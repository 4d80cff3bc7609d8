"""Plain torch: two networks train on the batches of two loaders that are drawn together."""

import first_step  # noqa: F401
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    photos = DataLoader(TensorDataset(torch.randn(96, 12)), batch_size=4, shuffle=True)
    paintings = DataLoader(TensorDataset(torch.randn(120, 12)), batch_size=5, shuffle=True)
    generator, discriminator = nn.Linear(12, 12), nn.Linear(12, 1)
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4)
    criterion = nn.BCEWithLogitsLoss()
    for (photo,), (painting,) in zip(photos, paintings, strict=False):
        fake = generator(photo)
        discriminator_optimizer.zero_grad()
        real_score, fake_score = discriminator(painting), discriminator(fake.detach())
        loss = criterion(real_score, torch.ones_like(real_score)) + criterion(fake_score, torch.zeros_like(fake_score))
        loss.backward()
        discriminator_optimizer.step()
        generator_optimizer.zero_grad()
        score = discriminator(fake)
        criterion(score, torch.ones_like(score)).backward()
        generator_optimizer.step()


if __name__ == "__main__":
    main()
