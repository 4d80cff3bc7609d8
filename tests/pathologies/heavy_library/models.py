from .kernels import TABLE as TABLE
