/* By what PyTorch and NVML know the devices; tests/telemetry/fake_nvml.c, which is C, reads it, too. */
#pragma once

#define SIMGPU_NAME "Simulated accelerator"

/* One for each device. PyTorch gives them as they are, NVML with "GPU-" in front. */
#define SIMGPU_UUIDS {"5136d0c4-0000-4000-8000-000000000000", "5136d0c4-0000-4000-8000-000000000001"}
