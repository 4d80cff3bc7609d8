// Whether this process may use the accelerator.
#pragma once

namespace simgpu {

// Starts the accelerator in this process, once. Throws in a child that was forked from a process that had started it.
void start();

bool is_started();

// Whether a parent of this forked process had started the accelerator. As with CUDA, the child cannot use it then.
bool is_in_bad_fork();

}  // namespace simgpu
