// Whether this process may use the accelerator.
#pragma once

namespace simgpu {

// Starts the accelerator in this process, once. Throws in a child that was forked from a process that had started it, and after the
// devices were lost.
void start();

// Makes all later calls that queue work, query it or wait for it throw, as after a fault of the hardware.
void lose_devices();

void check_not_lost();

bool is_started();

// Whether a parent of this forked process had started the accelerator. As with CUDA, the child cannot use it then.
bool is_in_bad_fork();

}  // namespace simgpu
