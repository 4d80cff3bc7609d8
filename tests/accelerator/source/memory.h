// Memory of the devices, and pinned memory of the host. Both are ordinary memory of the process.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/Device.h>

namespace simgpu {

c10::Allocator* device_memory();
c10::Allocator* pinned_memory();

// Whether the pointer points into pinned memory.
bool is_pinned(const void* pointer);

// Bytes that tensors hold on a device.
int64_t held_bytes(c10::DeviceIndex device);

}  // namespace simgpu
