"""A script whose loader exists only while main() runs, behind command line options. It is found as `captured:0`.

loaderscope run main_only.py --target captured:0 -o main_only.loaderscope -- --samples 2048
"""

import argparse

import torch
from torch.utils.data import DataLoader, Dataset


class Waves(Dataset):
    """Noisy sine waves of random frequency, computed sample by sample."""

    def __init__(self, samples, points):
        self.samples = samples
        self.time = torch.linspace(0, 1, points)

    def __len__(self):
        return self.samples

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        frequency = 1 + 40 * torch.rand(1, generator=generator)
        noise = torch.randn(self.time.shape, generator=generator)
        return torch.sin(frequency * self.time) + 0.1 * noise, frequency


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--points", type=int, default=20_000)
    options = parser.parse_args()

    loader = DataLoader(Waves(options.samples, options.points), batch_size=32, shuffle=True, num_workers=2)
    total = 0.0
    for waves, _ in loader:
        total += waves.square().mean().item()
    print(f"mean power {total / len(loader):.4f}")


if __name__ == "__main__":
    main()
