"""The simulated accelerator as `torch.simgpu`: `load` makes it the device `simgpu` of this process.

It runs in the agent's interpreter, too, so it keeps to old Python and imports the standard library and torch only.
"""

import collections
import sys
import uuid

import torch

DeviceProperties = collections.namedtuple("DeviceProperties", "name uuid")


def load(library, log_stem, in_real_time=False):
    """Loads the built library.

    Args:
        library: its path.
        log_stem: see `accelerator_log.read_log`.
        in_real_time: whether each stream has a thread that does its work in real time, so that data change when a copy ends and a
            missing wait gives wrong data; else work is planned when it is queued, its times are exact, and data change at once.
    """
    torch.ops.load_library(library)
    torch.ops.simgpu.set_log_stem(log_stem)
    torch.ops.simgpu.set_in_real_time(in_real_time)
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


def set_event_delay_ms(ms):
    """Makes an event be seen as passed only this much after the work before it has ended; `elapsed_time` stays true."""
    torch.ops.simgpu.set_event_delay(int(ms * 1e6))


def lose_device():
    """Makes all later calls that queue work, query it or wait for it raise RuntimeError, as after a fault of the hardware."""
    torch.ops.simgpu.lose_device()


# PyTorch, or who wants to know the device, asks these of torch.simgpu


def device_count():
    return torch.ops.simgpu.device_count()


def is_available():
    return True


def is_initialized():
    return torch.ops.simgpu.is_started()


def current_device():
    return torch.accelerator.current_device_index()


def get_device_properties(index):
    return DeviceProperties(torch.ops.simgpu.device_name(), uuid.UUID(torch.ops.simgpu.device_uuid(index)))


def get_device_name(index):
    return get_device_properties(index).name


def memory_reserved(index):
    return torch.ops.simgpu.held_bytes(index)


def manual_seed_all(seed):
    """Does nothing: random numbers come from the CPU's generator."""


def _is_in_bad_fork():
    return torch.ops.simgpu.is_in_bad_fork()


def device(which):
    """A context in which that device is the current one; torch.load uses it."""
    return torch.accelerator.device_index(which if isinstance(which, int) else torch.device(which).index)
