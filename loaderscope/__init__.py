"""Loaderscope: a desktop profiler for PyTorch DataLoaders."""

__version__ = "0.1.0"
