from .kernels import TABLE

__all__ = ["TABLE"]
