"""A script that imports its dataset's module only where it makes a loader: each spawned worker imports that to unpickle the dataset."""


def make_loader():
    from heavy_library.rows import Rows
    from torch.utils.data import DataLoader

    return DataLoader(Rows(), batch_size=8, num_workers=2)
