// The accelerator as PyTorch sees it: devices, streams and events.
#pragma once

namespace simgpu {

// Makes the devices' clock run faster than the host's by this many parts in a million.
void set_drift_ppm(double ppm);

}  // namespace simgpu
