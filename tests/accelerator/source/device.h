// The accelerator as PyTorch sees it: devices, streams and events.
#pragma once

#include <cstdint>

namespace simgpu {

// Makes the devices' clock run faster than the host's by this many parts in a million.
void set_drift_ppm(double ppm);

// Makes an event be seen as passed only this much after it was passed. Its time stays true.
void set_event_delay_ns(int64_t ns);

}  // namespace simgpu
