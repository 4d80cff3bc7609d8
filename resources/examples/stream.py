"""An iterable dataset that shares its shards out among the workers.

loaderscope run stream.py --target make_stream --num-workers 0,1,2 -o stream.loaderscope
"""

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class Shards(IterableDataset):
    """Records of several shards, read in order. Each worker reads every n-th shard, so that no record comes twice."""

    def __init__(self, shards=8, records=512):
        self.shards = shards
        self.records = records

    def __iter__(self):
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for shard in range(first, self.shards, step):
            generator = torch.Generator().manual_seed(shard)
            for _ in range(self.records):
                yield torch.fft.rfft(torch.randn(4096, generator=generator)).abs()


def make_stream():
    return Shards()


if __name__ == "__main__":
    for spectra in DataLoader(make_stream(), batch_size=32):
        print(spectra.mean().item())
