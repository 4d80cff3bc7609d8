"""The simulated accelerator as `torch.simgpu`: `load` makes it the device `simgpu` of this process.

It runs in the agent's interpreter, too, so it keeps to old Python and imports torch only.
"""

import sys

import torch


def load(library, log_stem):
    """Loads the built library; see `accelerator_log.read_log` for the stem."""
    torch.ops.load_library(library)
    torch.ops.simgpu.set_log_stem(log_stem)
    torch.utils.rename_privateuse1_backend("simgpu")
    torch._register_device_module("simgpu", sys.modules[__name__])
    torch.utils.generate_methods_for_privateuse1_backend()


def busy(tensor, microseconds):
    """Keeps the tensor's device busy for that time, on its current stream; returns at once."""
    torch.ops.simgpu.busy(tensor, microseconds)


def set_copy_rate(bytes_per_ns):
    """Sets the speed of copies that come later."""
    torch.ops.simgpu.set_copy_rate(bytes_per_ns)


def set_drift_ppm(ppm):
    """Makes the devices' clock run faster than the host's by this many parts in a million."""
    torch.ops.simgpu.set_drift_ppm(ppm)


# PyTorch asks these of torch.simgpu


def device_count():
    return torch.ops.simgpu.device_count()


def is_available():
    return True


def is_initialized():
    return torch.ops.simgpu.is_started()


def current_device():
    return torch.accelerator.current_device_index()


def memory_reserved(index):
    return torch.ops.simgpu.held_bytes(index)


def manual_seed_all(seed):
    """Does nothing: random numbers come from the CPU's generator."""


def _is_in_bad_fork():
    return torch.ops.simgpu.is_in_bad_fork()


def device(which):
    """A context in which that device is the current one; torch.load uses it."""
    return torch.accelerator.device_index(which if isinstance(which, int) else torch.device(which).index)
